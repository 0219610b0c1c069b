"""Asks a server for its health as any gRPC client does: probe.py HOST:PORT CA_FILE SERVICE."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

address, ca_file, service = sys.argv[1:]
with open(ca_file, "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
options = [("grpc.ssl_target_name_override", "localhost")]
with grpc.secure_channel(address, credentials, options) as channel:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ["", service]:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, (name, answer)
# Without TLS nobody is answered.
with grpc.insecure_channel(address) as channel:
    stub = health_pb2_grpc.HealthStub(channel)
    try:
        stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), error
    else:
        raise AssertionError("it answers without TLS")
