"""The goroutineleak profile of Go 1.27 over HTTP: a program that leaks eleven goroutines, in every form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from heldby.cli.main import main
from heldby.profiles.http_profiles import fetch_profile, parse_address
from heldby.profiles.pprof_read import read_profile
from heldby.profiles.weights import weigh
from tests.profiles.conftest import fetch
from tests.support.build import build
from tests.support.process import Running, running
from tests.support.toolchains import NEWEST, toolchain

PROGRAM = Path(__file__).parent / "programs" / "leaking"
LEAKED = {"main.forgottenReceiver": 7, "main.forgottenSender": 4}


@pytest.fixture(scope="module")
def leaking() -> Iterator[Running]:
    with running(build(PROGRAM, toolchain(NEWEST))) as program:
        yield program


def url_of(program: Running) -> str:
    return f"http://127.0.0.1:{program.ready['port']}"


def leaked(path: Path) -> dict[str, int]:
    weights = weigh(read_profile(path), 0, by_cum=True)
    counted = {key[0]: count for key, count in zip(weights.keys, weights.cum.tolist(), strict=True)}
    assert weights.total == 11
    return {name: count for name, count in counted.items() if name.startswith("main.")}


def test_the_command_shows_how_many_goroutines_leaked_where(
    leaking: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([url_of(leaking), "--profile", "goroutineleak", "--cum", "--format", "json"]) == 0

    told = json.loads(capsys.readouterr().out)
    rows = {row["function"]: row["cum"] for row in told["rows"]}
    assert {name: count for name, count in rows.items() if name.startswith("main.")} == LEAKED
    assert "what the goroutines keep alive, no profile says" in told["caveats"][0]


def test_a_plain_goroutine_profile_counts_those_that_wait_for_main_too(leaking: Running) -> None:
    weights = weigh(fetch_profile(parse_address(url_of(leaking), profile="goroutine")), 0, by_cum=True)

    counts = {key[0]: count for key, count in zip(weights.keys, weights.cum.tolist(), strict=True)}
    assert {name: counts[name] for name in LEAKED} == LEAKED
    assert counts["main.patient"] == 2


def test_its_protobuf_and_its_text_say_the_same(leaking: Running, tmp_path: Path) -> None:
    url = f"{url_of(leaking)}/debug/pprof/goroutineleak"

    assert leaked(fetch(url, tmp_path / "leaks.pb.gz")) == LEAKED
    assert leaked(fetch(f"{url}?debug=1", tmp_path / "leaks.txt")) == LEAKED


def test_its_stacks_mark_those_that_leaked(leaking: Running, tmp_path: Path) -> None:
    """With ``debug=2`` Go prints all goroutines, and of the leaked ones that they are."""
    profile = read_profile(
        fetch(f"{url_of(leaking)}/debug/pprof/goroutineleak?debug=2", tmp_path / "stacks.txt")
    )

    marked = {
        sample.labels["state"]: sample.values[0]
        for sample in profile.samples
        if "(leaked)" in str(sample.labels["state"])
    }
    assert marked == {"chan receive (leaked)": 7, "chan send (leaked)": 4}
