"""A back end in Python that traces its calls: records an order with the header `traceparent` as tracing libraries send it.
Prints the ids that it knows, one a line. Arguments: the suite's address, and the header."""

import importlib.resources
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "proto"


def stubs(folder):
    """Made by Google's own tools from the same .proto files."""
    own = sorted(path.relative_to(ROOT) for path in (ROOT / "regard").rglob("*.proto"))
    third = ROOT / "third_party"
    others = sorted(
        path.relative_to(third) for part in ("google", "buf") for path in (third / part).rglob("*.proto")
    )
    include = importlib.resources.files("grpc_tools") / "_proto"
    arguments = [f"--proto_path={ROOT}", f"--proto_path={third}", f"--proto_path={include}"]
    arguments += [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    arguments += [str(path) for path in own + others]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True, cwd=ROOT)


def main(address, traceparent):
    with tempfile.TemporaryDirectory() as folder:
        stubs(folder)
        sys.path.insert(0, folder)

        import grpc
        from google.protobuf.timestamp_pb2 import Timestamp
        from google.type.money_pb2 import Money
        from regard.common.v1 import values_pb2 as common
        from regard.customer.v1 import order_service_pb2 as order
        from regard.customer.v1 import order_service_pb2_grpc

        time = Timestamp()
        time.FromDatetime(datetime(2026, 1, 10, 12, tzinfo=timezone.utc).replace(tzinfo=None))
        request = order.RecordOrderRequest(
            create_missing=True,
            order=order.Order(
                key=common.SourceKey(source="python", external_id="o-traced"),
                customer=common.CustomerRef(key=common.SourceKey(source="python", external_id="c-traced")),
                order_time=time,
                gross=Money(currency_code="USD", units=42),
                units=1,
            ),
        )
        with grpc.insecure_channel(address) as channel:
            stub = order_service_pb2_grpc.OrderServiceStub(channel)
            metadata = [("traceparent", traceparent), ("tracestate", "vendor=abc")]
            answer = stub.RecordOrder(request, timeout=20, metadata=metadata)
        print(answer.order.id, answer.order.customer.id, "o-traced", "c-traced", sep="\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
