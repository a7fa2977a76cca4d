import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities import parameters
from moto import mock_aws

from infra.settings import CHECKOUT, DeploymentMode, Settings, SettingsError


def test_nothing_set_means_the_embedded_server_with_its_data_in_the_checkout() -> None:
    assert Settings.from_environment({}) == Settings(
        database_url=None, data_dir=CHECKOUT / ".purser", demo_secret=None, deployment_mode=None
    )


def test_every_variable_is_read() -> None:
    environ = {
        "DATABASE_URL": "postgresql://u:p@db.example:5432/purser",
        "PURSER_DATA_DIR": "/srv/purser",
        "PURSER_DEMO_SECRET": "seven seals",
        "PURSER_DEPLOYMENT_MODE": "self_hosted",
    }
    assert Settings.from_environment(environ) == Settings(
        database_url="postgresql://u:p@db.example:5432/purser",
        data_dir=Path("/srv/purser"),
        demo_secret="seven seals",
        deployment_mode=DeploymentMode.SELF_HOSTED,
    )


def test_an_empty_variable_counts_as_unset() -> None:
    names = ("DATABASE_URL", "PURSER_DATA_DIR", "PURSER_DEMO_SECRET", "PURSER_DEPLOYMENT_MODE")
    assert Settings.from_environment(dict.fromkeys(names, "")) == Settings.from_environment({})


def test_a_relative_data_folder_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment({"PURSER_DATA_DIR": "data"}).data_dir == tmp_path / "data"


def test_outside_a_checkout_the_data_lie_in_a_place_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("infra.settings.CHECKOUT", tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Settings.from_environment({}).data_dir == Path("/home/somebody/.local/share/purser")
    assert Settings.from_environment({"XDG_DATA_HOME": "/data"}).data_dir == Path("/data/purser")


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("DATABASE_URL", "mysql://root@db/purser", "must look like postgresql://"),
        ("DATABASE_URL", "db.example:5432", "leave it out to use the embedded PostgreSQL"),
        ("PURSER_DEPLOYMENT_MODE", "HOSTED", "set it to hosted or self_hosted"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_and_the_remedy(name: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}.*{remedy}"):
        Settings.from_environment({name: value})


def test_the_message_about_a_database_url_does_not_show_its_password() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({"DATABASE_URL": "postgres//u:topsecret@db/purser"})
    assert "topsecret" not in str(raised.value)


@pytest.fixture
def secrets_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Secrets Manager that runs in this process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        monkeypatch.setattr(parameters.base, "DEFAULT_PROVIDERS", {})
        yield boto3.session.Session().client("secretsmanager")


def test_secrets_are_fetched_where_their_arns_are_given(secrets_manager: Any, caplog: pytest.LogCaptureFixture) -> None:
    kept = {
        "DATABASE_URL": "postgresql://u:p@db.example:5432/purser\n",
        "STRIPE_API_KEY": "sk_live_seven_seals",
        "STRIPE_WEBHOOK_SECRET": "whsec_seven_seals",
        "PURSER_SECRET_KEY": "A" * 43,
    }
    arns = {
        f"{name}_ARN": secrets_manager.create_secret(Name=name.lower(), SecretString=secret)["ARN"]
        for name, secret in kept.items()
    }
    caplog.set_level(logging.DEBUG)
    logging.getLogger("botocore").setLevel(logging.NOTSET)
    settings = Settings.from_environment(arns)
    assert settings.database_url == "postgresql://u:p@db.example:5432/purser"
    assert settings.stripe_api_key == "sk_live_seven_seals"
    assert settings.stripe_webhook_secret == "whsec_seven_seals"
    assert settings.secret_key == bytes(32)
    assert "u:p@" not in caplog.text
    assert "seals" not in caplog.text


def test_a_mail_server_is_named_as_apprise_writes_it_and_never_shown() -> None:
    url = "mailtos://user:seven_seals@smtp.example.com?from=purser@example.com"
    settings = Settings.from_environment({"PURSER_EMAIL_URL": url})
    assert settings.email_url == url
    assert "seals" not in repr(settings)
    with pytest.raises(SettingsError, match=r"^PURSER_EMAIL_URL must look like mailtos://") as refused:
        Settings.from_environment({"PURSER_EMAIL_URL": "smtp://user:seven_seals@smtp.example.com"})
    assert "seals" not in str(refused.value)


def test_webhooks_go_to_public_addresses_alone_unless_the_operator_says_so() -> None:
    assert not Settings.from_environment({}).local_webhooks_allowed
    assert not Settings.from_environment({"PURSER_LOCAL_WEBHOOKS": "0"}).local_webhooks_allowed
    assert Settings.from_environment({"PURSER_LOCAL_WEBHOOKS": "1"}).local_webhooks_allowed
    with pytest.raises(SettingsError, match="PURSER_LOCAL_WEBHOOKS is 'yes': set it to 1, or leave it out"):
        Settings.from_environment({"PURSER_LOCAL_WEBHOOKS": "yes"})


def test_keys_of_identity_providers_come_from_public_addresses_unless_the_operator_says_so() -> None:
    assert not Settings.from_environment({}).local_identity_providers_allowed
    assert Settings.from_environment({"PURSER_LOCAL_IDENTITY_PROVIDERS": "1"}).local_identity_providers_allowed


def test_requests_are_limited_only_where_the_operator_says_so() -> None:
    assert Settings.from_environment({}).requests_per_minute is None
    assert Settings.from_environment({"PURSER_REQUESTS_PER_MINUTE": "600"}).requests_per_minute == 600
    for wrong in ("0", "-1", "many", "1.5", "10000001", "9" * 5_000, "²"):
        with pytest.raises(
            SettingsError, match=r"PURSER_REQUESTS_PER_MINUTE is .*: set it to 1 to 10000000, or leave it"
        ):
            Settings.from_environment({"PURSER_REQUESTS_PER_MINUTE": wrong})


def test_a_secret_that_is_set_itself_is_not_fetched() -> None:
    environ = {"DATABASE_URL": "postgresql://here/purser", "DATABASE_URL_ARN": "arn:aws:secretsmanager:nowhere"}
    assert Settings.from_environment(environ).database_url == "postgresql://here/purser"


def test_a_secret_that_cannot_be_fetched_is_refused_with_the_variable_and_the_remedy(secrets_manager: Any) -> None:
    arn = secrets_manager.create_secret(Name="bytes", SecretBinary=b"\x01")["ARN"]
    with pytest.raises(SettingsError, match=r"DATABASE_URL_ARN: .* holds bytes; store the secret as plain text"):
        Settings.from_environment({"DATABASE_URL_ARN": arn})
    with pytest.raises(
        SettingsError, match=r"STRIPE_API_KEY_ARN: .*ResourceNotFound.*correct the ARN, or let the role"
    ):
        Settings.from_environment({"STRIPE_API_KEY_ARN": arn.replace("bytes", "nothing")})


def test_boto3_is_not_loaded_where_no_secret_is_kept_at_aws() -> None:
    code = (
        "import sys; from infra.settings import Settings; Settings.from_environment({}); print('boto3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
