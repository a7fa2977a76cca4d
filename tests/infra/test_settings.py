from pathlib import Path

import pytest

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
