//! Three calls to paste: with the command line, with grpcurl, and from Python.

use std::io::{self, Write};
use std::path::Path;

use super::stage::{CDNOW, CDNOW_KEY, ECSI, ECSI_KEY};

/// A good customer of the shop.
const SOMEBODY: &str = "1516";

/// Prints where the suite answers and what to ask it. `data` lies in the repository, where the contract lies too.
pub fn print(out: &mut impl Write, address: &str, data: &Path) -> io::Result<()> {
    let repository = data.parent().and_then(Path::parent);
    let proto = repository
        .map(|root| root.join("proto"))
        .filter(|proto| proto.is_dir());
    let proto = proto.map_or_else(|| "proto".to_owned(), |proto| proto.display().to_string());
    let program = std::env::current_exe()
        .map_or_else(|_| "regard".to_owned(), |path| path.display().to_string());
    writeln!(
        out,
        "regard serves the demo's data at http://{address}\n\
         Tenant {CDNOW}: a music shop's purchases, today is 1997-09-30. Tenant {ECSI}: a survey of mobile phone customers.\n\
         \n\
         # 1. The command line: why is this customer worth so much?\n\
         {program} explain {CDNOW}:{SOMEBODY} residual_clv --server http://{address} --key {CDNOW_KEY}\n\
         \n\
         # 2. grpcurl: all scores of the customer, by reflection\n\
         grpcurl -plaintext -H 'authorization: Bearer {CDNOW_KEY}' \\\n  \
           -d '{{\"customer\": {{\"key\": {{\"source\": \"{CDNOW}\", \"external_id\": \"{SOMEBODY}\"}}}}}}' \\\n  \
           {address} regard.scoring.v1.ScoreService/GetScores\n\
         \n\
         # 3. Python: how satisfied are the respondents? (pip install grpcio grpcio-tools)\n\
         python3 - <<'END'\n\
         import sys, grpc\n\
         sys.path[:0] = ['{proto}', '{proto}/third_party']\n\
         messages, services = grpc.protos_and_services('regard/scoring/v1/metric_service.proto')\n\
         stub = services.MetricServiceStub(grpc.insecure_channel('{address}'))\n\
         answer = stub.QueryMetric(messages.QueryMetricRequest(metric='csat'),\n    \
             metadata=[('authorization', 'Bearer {ECSI_KEY}')])\n\
         print(answer.values[0])\n\
         END\n\
         \n\
         Ctrl-C ends it."
    )
}
