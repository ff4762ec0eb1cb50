"""What a gateway is told, and by whom."""

import json
import re
from pathlib import Path

import pytest

from affidavit.gateway import (
    Budgets,
    GatewayError,
    GatewaySettings,
    Price,
    Upstream,
    gateway_settings,
    read_script,
    upstreams_of,
)
from affidavit.gateway.dialects import operation_of
from affidavit.gateway.options import read_budgets, read_prices
from affidavit.gateway.script import render
from affidavit.gateway.settings import base_of


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com"),
        ("https://api.openai.com/v1/", "https://api.openai.com"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://host/proxy/v1beta", "https://host/proxy"),
        ("http://bücher.example:8000/für%20uns/v1", "http://xn--bcher-kva.example:8000/f%C3%BCr%20uns"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_base_is_what_stands_before_the_version(url: str, base: str) -> None:
    assert base_of(url, "--model-url") == base


@pytest.mark.parametrize(
    "url", ["host/v1", "ftp://host", "https://", "https://u:p@host", "https://h/?key=1", "http://h:x"]
)
def test_a_url_that_can_not_be_used_is_named(url: str) -> None:
    with pytest.raises(GatewayError, match="--model-url: "):
        base_of(url, "--model-url")


def test_a_providers_key_goes_to_that_provider_alone() -> None:
    environment = {"OPENAI_API_KEY": "sk-openai-1234", "AFFIDAVIT_MODEL_KEY": "own-key-1234"}
    assert upstreams_of(environment) == {"openai": Upstream("https://api.openai.com", "sk-openai-1234")}
    elsewhere = upstreams_of(environment, "https://host/v1")
    assert {one.key for one in elsewhere.values()} == {"own-key-1234"}
    del environment["AFFIDAVIT_MODEL_KEY"]
    assert {one.key for one in upstreams_of(environment, "https://host/v1").values()} == {""}
    official = upstreams_of(environment, "https://api.openai.com/v1")
    assert {name: one.key for name, one in official.items()} == {
        "openai": "sk-openai-1234",
        "anthropic": "",
        "gemini": "",
    }


@pytest.mark.parametrize("key", ["tiny", "has a blank in it", "ключ-к-модели"])
def test_what_is_no_key_is_named_and_not_shown(key: str) -> None:
    with pytest.raises(GatewayError, match="OPENAI_API_KEY") as error:
        upstreams_of({"OPENAI_API_KEY": key})
    assert key not in str(error.value)


def test_without_a_model_it_says_what_to_give() -> None:
    with pytest.raises(GatewayError, match="--model-url"):
        upstreams_of({})


def test_a_model_may_be_given_a_name_upstream() -> None:
    settings = gateway_settings(["gpt-5=qwen", "other", "gpt-5=qwen"], {}, url="http://127.0.0.1:1")
    assert settings is not None
    assert (settings.models, dict(settings.mapping)) == (("gpt-5", "other"), {"gpt-5": "qwen"})


@pytest.mark.parametrize(
    ("models", "wrong"),
    [
        (["a="], "--model 'a=': is no name of a model; give NAME or NAME=UPSTREAM"),
        (["=b"], "--model '=b': is no name of a model"),
        (["a=b", "a=c"], "--model a: is given two names of the upstream; give one"),
        (["a=b", "a"], "--model a: is given two names of the upstream; give one"),
    ],
)
def test_what_is_no_name_upstream_is_named(models: list[str], wrong: str) -> None:
    with pytest.raises(GatewayError, match=f"^{re.escape(wrong)}"):
        gateway_settings(models, {}, url="http://127.0.0.1:1")


def test_settings_survive_the_way_and_show_no_key() -> None:
    settings = GatewaySettings("live", ("m",), {"openai": Upstream("http://h", "sk-secret-1")}, idle_s=3.0)
    assert GatewaySettings.load(settings.dump()) == settings
    assert "sk-secret-1" not in repr(settings)
    assert settings.secrets() == ["sk-secret-1"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{", "Invalid JSON"),
        ('{"answers": []}', "answers"),
        ('{"answers": [{"txt": "x"}]}', "answers.0.txt"),
        ('{"answers": [{"status": 99}]}', "answers.0.status"),
        ('{"answers": [{"tool_calls": [{"name": ""}]}]}', "answers.0.tool_calls.0.name"),
    ],
)
def test_a_script_that_can_not_be_used_is_named(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(text)
    with pytest.raises(GatewayError, match=wrong) as error:
        read_script(path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_tool_of_a_script_may_have_a_namespace(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    calls = [{"name": "say", "namespace": "mcp__words"}, {"name": "bash"}]
    path.write_text(json.dumps({"answers": [{"tool_calls": calls}]}))
    (answer,) = read_script(path)
    operation = operation_of("POST", "/v1/responses", {})
    assert operation is not None
    _, _, body = render(answer, operation, 1, "m", streams=False)
    said = json.loads(body)["output"]
    assert [(one["name"], one.get("namespace")) for one in said] == [("say", "mcp__words"), ("bash", None)]


def test_a_script_gets_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"answers": [{"text": "x"}]}))
    (answer,) = read_script(path)
    assert answer["usage"] == {"input_tokens": 10, "output_tokens": 5}
    with pytest.raises(GatewayError, match="can't be read"):
        read_script(tmp_path / "missing")


def test_budgets_are_read() -> None:
    assert read_budgets("tokens=5,cost=2.50") == Budgets(tokens=5, cost=2.5)
    assert read_budgets("requests=3,seconds=60") == Budgets(requests=3, seconds=60)


@pytest.mark.parametrize(
    "text", ["cost=0", "cost=-1", "cost=1e3", "cost=nan", "cost=1,cost=2", "tokens=1.5", "euros=3"]
)
def test_what_is_no_budget_is_named(text: str) -> None:
    with pytest.raises(GatewayError, match="--model-budget: "):
        read_budgets(text)


def test_prices_are_read(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[model-1]\ninput = 3\noutput = 15.5\n["vendor/model.2"]\ninput = 0\noutput = 0\n')
    prices = read_prices(path)
    assert prices == {"model-1": Price(3.0, 15.5), "vendor/model.2": Price(0.0, 0.0)}
    assert prices["model-1"].of(1_000_000, 2_000_000) == 34.0
    settings = gateway_settings(["model-1"], {}, url="http://h", budget="cost=1", prices=path)
    assert settings is not None
    assert GatewaySettings.load(settings.dump()) == settings
    with pytest.raises(GatewayError, match=r"cost: needs the price of model-3: .*prices\.toml has none"):
        gateway_settings(["model-3"], {}, url="http://h", budget="cost=1", prices=path)
    with pytest.raises(GatewayError, match="cost: needs the price of model-1: give --model-prices"):
        gateway_settings(["model-1"], {}, url="http://h", budget="cost=1")


@pytest.mark.parametrize(
    "text",
    ["model = 3", "[m]\ninput = 3", "[m]\ninput = -1\noutput = 1", "[m]\ninput = nan\noutput = 1",
     "[m]\ninput = true\noutput = 1", "[gpt-4.1]\ninput = 1\noutput = 1",
     '[m]\ninput = "3"\noutput = 1', "[m]\ninput = 1\noutput = 1\ncached = 1", "[m"],
)  # fmt: skip
def test_what_are_no_prices_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(GatewayError, match=r"prices\.toml: "):
        read_prices(path)
