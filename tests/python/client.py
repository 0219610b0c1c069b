"""What a back end in Python does with the suite: records orders, refunds and answers, reads and explains scores, and is told
what it did wrong. Starts the suite by its arguments: the program and a folder for data."""

import json
import subprocess
import sys
import traceback
import uuid
from datetime import datetime, timezone

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from regard.common.v1 import values_pb2 as common
from regard.customer.v1 import customer_service_pb2 as customer
from regard.customer.v1 import customer_service_pb2_grpc, order_service_pb2_grpc, tenant_service_pb2_grpc
from regard.customer.v1 import order_service_pb2 as order
from regard.customer.v1 import tenant_service_pb2 as tenant
from regard.feedback.v1 import response_service_pb2 as response
from regard.feedback.v1 import response_service_pb2_grpc, survey_service_pb2_grpc
from regard.feedback.v1 import survey_service_pb2 as survey
from regard.scoring.v1 import metric_service_pb2 as metric
from regard.scoring.v1 import metric_service_pb2_grpc, score_service_pb2_grpc
from regard.scoring.v1 import score_service_pb2 as score


def key(name):
    return common.SourceKey(source="python", external_id=name)


def who(name):
    return common.CustomerRef(key=key(name))


def at(day):
    time = Timestamp()
    time.FromDatetime(datetime.fromisoformat(day + "T12:00:00").replace(tzinfo=timezone.utc).replace(tzinfo=None))
    return time


def usd(units):
    return Money(currency_code="USD", units=units)


class Shop:
    """The stubs over one channel, and the change tokens of what was written."""

    def __init__(self, channel):
        self.channel = channel
        self.tenants = tenant_service_pb2_grpc.TenantServiceStub(channel)
        self.customers = customer_service_pb2_grpc.CustomerServiceStub(channel)
        self.orders = order_service_pb2_grpc.OrderServiceStub(channel)
        self.surveys = survey_service_pb2_grpc.SurveyServiceStub(channel)
        self.responses = response_service_pb2_grpc.ResponseServiceStub(channel)
        self.scores = score_service_pb2_grpc.ScoreServiceStub(channel)
        self.metrics = metric_service_pb2_grpc.MetricServiceStub(channel)
        self.tokens = []

    def note(self, answer):
        if answer.change_token:
            self.tokens.append(answer.change_token)
        return answer

    def record(self, name, of, units, day, **more):
        row = order.Order(key=key(name), customer=who(of), order_time=at(day), gross=usd(units), units=1)
        request = order.RecordOrderRequest(order=row, create_missing=True, **more)
        return self.note(self.orders.RecordOrder(request, timeout=20))

    def read(self, of):
        request = score.GetScoresRequest(customer=who(of), change_tokens=self.tokens[-16:])
        return {s.name: s for s in self.scores.GetScores(request, timeout=20).scores.scores}


def the_server_is_healthy(shop):
    stub = health_pb2_grpc.HealthStub(shop.channel)
    for service in ["", "customer", "feedback", "scoring", "regard.scoring.v1.ScoreService"]:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service


def the_server_tells_its_services(shop):
    names = ProtoReflectionDescriptorDatabase(shop.channel).get_services()
    assert "regard.customer.v1.OrderService" in names and "regard.scoring.v1.ScoreService" in names, names


def a_day_is_pinned(shop):
    pinned = tenant.Tenant(pinned_day=Date(year=2026, month=3, day=31))
    request = tenant.UpdateTenantRequest(tenant=pinned, update_mask=FieldMask(paths=["pinned_day"]))
    answer = shop.note(shop.tenants.UpdateTenant(request, timeout=10))
    assert answer.tenant.pinned_day.year == 2026


def orders_are_recorded_once(shop):
    name = str(uuid.uuid4())
    first = shop.record("o1", "ann", 40, "2026-01-10", request_id=name)
    again = shop.record("o1", "ann", 40, "2026-01-10", request_id=name)
    assert first.order.id == again.order.id and again.order.version == 1
    shop.record("o2", "ann", 25, "2026-02-10")
    request = order.GetOrderRequest(order=common.RecordRef(key=key("o2")))
    assert shop.orders.GetOrder(request, timeout=10).order.gross.units == 25


def orders_are_ingested(shop):
    def batches():
        for first in (0, 50):
            rows = [
                order.OrderRow(
                    order=order.Order(
                        key=key(f"i{n}"), customer=who(f"c{n % 20}"), order_time=at(f"2026-02-{n % 28 + 1:02}"), gross=usd(n)
                    )
                )
                for n in range(first, first + 50)
            ]
            rows[7].order.gross.units = -1 if first else 7
            yield order.IngestOrdersRequest(rows=rows, create_missing=True)

    results = [answer.result for answer in shop.orders.IngestOrders(batches(), timeout=30)]
    assert [(r.accepted, len(r.rejected)) for r in results] == [(50, 0), (49, 1)], results
    bad = results[1].rejected[0]
    assert bad.index == 7 and any("gross" in v.field for v in bad.violations), bad
    for result in results:
        shop.note(result)


def scores_are_read_and_explained(shop):
    scores = shop.read("ann")
    assert scores["historic_value"].value == 6_500, scores["historic_value"]
    assert len(scores) >= 7
    for one in scores.values():
        assert one.HasField("value") or one.reasons, one
        request = score.ExplainScoreRequest(customer=who("ann"), score=one.name, change_tokens=shop.tokens[-16:])
        told = shop.scores.ExplainScore(request, timeout=20)
        assert told.formula and told.summary and told.facts, told


def a_refund_counts(shop):
    refund = order.Refund(
        key=key("f1"), customer=who("ann"), order=common.RecordRef(key=key("o1")), refund_time=at("2026-03-01"), amount=usd(10)
    )
    shop.note(shop.orders.RecordRefund(order.RecordRefundRequest(refund=refund), timeout=10))
    assert shop.read("ann")["historic_value"].value == 5_500


def answers_become_a_metric(shop):
    question = survey.Question(
        code="nps", text="Would you recommend us?", kind=survey.QUESTION_KIND_NPS, dimension="overall_satisfaction"
    )
    made = survey.Survey(name="After delivery", key=key("s"), questions=[question])
    shop.surveys.CreateSurvey(survey.CreateSurveyRequest(survey=made), timeout=10)
    shop.surveys.PublishSurvey(survey.PublishSurveyRequest(survey=common.RecordRef(key=key("s"))), timeout=10)
    for n, value in enumerate([10, 9, 9, 7, 3]):
        said = response.Response(
            key=key(f"r{n}"),
            survey=common.RecordRef(key=key("s")),
            customer=who(f"c{n}"),
            answer_time=at("2026-03-02"),
            channel=common.CHANNEL_EMAIL,
            answers=[response.Answer(question="nps", number=value)],
        )
        shop.note(shop.responses.RecordResponse(response.RecordResponseRequest(response=said), timeout=10))
    asked = metric.QueryMetricRequest(metric="nps", change_tokens=shop.tokens[-16:])
    value = shop.metrics.QueryMetric(asked, timeout=20).values[0]
    assert value.n == 5 and abs(value.value - 40) < 1e-9 and value.HasField("interval"), value


def errors_name_what_is_wrong(shop):
    wrong = order.Order(key=key("x"), customer=who("ann"), order_time=at("2026-03-01"), gross=usd(-3), channel=99)
    try:
        shop.orders.RecordOrder(order.RecordOrderRequest(order=wrong), timeout=10)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        kinds = [any_.type_url.rsplit(".", 1)[-1] for any_ in status_pb2.Status.FromString(details).details]
        assert "ErrorInfo" in kinds and "BadRequest" in kinds, kinds
        assert b"order.gross" in details and b"order.channel" in details, details
    else:
        raise AssertionError("a negative amount was taken")
    try:
        shop.customers.GetCustomer(customer.GetCustomerRequest(customer=who("nobody")), timeout=10)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
    else:
        raise AssertionError("nobody was found")


TESTS = [
    the_server_is_healthy,
    the_server_tells_its_services,
    a_day_is_pinned,
    orders_are_recorded_once,
    orders_are_ingested,
    scores_are_read_and_explained,
    a_refund_counts,
    answers_become_a_metric,
    errors_name_what_is_wrong,
]


def main(program, folder):
    plan = {name: f"sqlite://{folder}/{name}.db" for name in ("customer", "feedback", "scoring")}
    plan["listen"] = "127.0.0.1:0"
    server = subprocess.Popen([program, json.dumps(plan)], stdout=subprocess.PIPE, text=True)
    failed = 0
    try:
        address = server.stdout.readline().removeprefix("ready").strip()
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=20)
            shop = Shop(channel)
            for test in TESTS:
                try:
                    test(shop)
                    print(f"{test.__name__} ... ok")
                except Exception:  # each test is told of, whatever became of it
                    failed += 1
                    traceback.print_exc()
                    print(f"{test.__name__} ... FAILED")
    finally:
        server.terminate()
        server.wait(20)
    print(f"{len(TESTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
