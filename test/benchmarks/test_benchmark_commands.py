import json

import pytest

pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from tiny_model import write_model

from vi_fusion_ros import cli
from vi_fusion_ros.benchmarks.compare import compare
from vi_fusion_ros.benchmarks.timing import WARM_UP, interleaved, summary


@pytest.fixture
def run(capsys):
    def _run(*arguments):
        status = cli.main(["benchmark", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return _run


def test_calls_take_turns_and_the_warm_up_does_not_count():
    order = []
    times = interleaved({name: lambda name=name: order.append(name) for name in "ab"}, 3)
    assert order == ["a", "b"] * (WARM_UP + 3)
    assert [len(values) for values in times.values()] == [3, 3]


def test_the_figures():
    figures = summary([1.0, 2.0, 3.0, 10.0])
    assert (figures["median_ms"], figures["min_ms"]) == (2.5, 1.0)
    assert figures["throughput_hz"] == 250.0
    assert 2.5 < figures["p95_ms"] < figures["p99_ms"] < 10


def test_the_model_by_size_and_threads(run, model, tmp_path):
    path = tmp_path / "new" / "a.json"
    arguments = ("--model", model, "--backend", "onnxruntime", "--size", "64x48,32x32", "--threads", "1,2", "--runs", 3)
    status, _, _ = run("model", *arguments, "--json", path)
    assert status == 0
    result = json.loads(path.read_text())
    rows = result["rows"]
    assert [(row["size"], row["threads"]) for row in rows] == [("64x48", 1), ("64x48", 2), ("32x32", 1), ("32x32", 2)]
    for row in rows:
        assert 0 < row["min_ms"] <= row["median_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["throughput_hz"] > 0
        assert row["memory_mb"] > 1
    assert rows[0]["speedup"] == rows[2]["speedup"] == 1
    assert result["median_ms"] == rows[0]["median_ms"]
    assert result["gpu"]


def test_a_size_is_padded_as_the_node_pads_images(run, object_model):
    arguments = ("--model", object_model, "--backend", "onnxruntime", "--size", "50x30", "--runs", 1, "--json")
    status, out, error = run("model", *arguments)
    assert (status, error) == (0, "")
    assert json.loads(out)["rows"][0]["size"] == "50x30"


def test_json_without_a_file_is_printed_and_nothing_else(run, model):
    status, out, _ = run(
        "model", "--model", model, "--backend", "onnxruntime", "--size", "64x48", "--runs", 1, "--json"
    )
    assert status == 0
    assert json.loads(out)["rows"][0]["backend"] == "onnxruntime"


def test_backends_that_are_missing_are_left_out_unless_asked_for(run, model, tmp_path):
    status, out, _ = run("model", "--model", model, "--size", "64x48", "--runs", 1, "--json")
    result = json.loads(out)
    assert status == 0
    left_out = {row["backend"] for row in result["rows"]} ^ {"onnxruntime", "onnxruntime-cuda", "tensorrt"} - {"torch"}
    assert set(result["skipped"]) >= left_out - {"torch", "torch-cuda"}
    if "tensorrt" in result["skipped"]:
        status, _, err = run("model", "--model", model, "--runs", 1, "--backend", "tensorrt")
        assert status == 2
        assert err.count("\n") == 1
        assert "tensorrt: " in err


def test_wrong_arguments_and_models_are_one_sentence(run, model, tmp_path):
    assert run("model", "--model", model, "--runs", 0) == (2, "", "vi-fusion: --runs must be at least 1\n")
    broken = write_model(tmp_path / "broken.onnx")
    broken.write_bytes(b"no model")
    status, _, err = run("model", "--model", broken, "--backend", "onnxruntime", "--runs", 1)
    assert status == 2
    assert "broken.onnx" in err
    assert err.count("\n") == 1
    with pytest.raises(SystemExit):
        run("model", "--backend", "abacus")
    with pytest.raises(SystemExit):
        run("model", "--threads", "0")


def test_settings(run, model, tmp_path):
    status, out, _ = run("settings", "--model", model, "--size", "64x48", "--runs", 2, "--json")
    assert status == 0
    result = json.loads(out)
    settings = [row["setting"] for row in result["rows"]]
    assert settings[0] == "the node's: 2 threads"
    assert {"1 thread", "graph optimisation none", "memory arena off", "spinning threads"} <= set(settings)
    assert result["rows"][0]["speedup"] == 1
    assert ("OpenVINO fp32" in settings) != ("OpenVINO" in result["skipped"])


def written(path, **changes):
    row = {"backend": "onnxruntime", "size": "640x480", "threads": 2, "median_ms": 10.0}
    document = {"machine": "x", "runs": 100, "median_ms": 10.0, "rows": [row, {**row, "threads": 1, "median_ms": 16.0}]}
    path.write_text(json.dumps({**document, **changes}))
    return path


def test_compare_matches_rows_by_what_they_are_not_by_their_place(run, tmp_path):
    row = {"backend": "onnxruntime", "size": "640x480"}
    rows = [{**row, "threads": 1, "median_ms": 8.0}, {**row, "threads": 4, "median_ms": 3.0}]
    before, after = written(tmp_path / "a.json"), written(tmp_path / "b.json", rows=rows, machine="y", median_ms=0)
    found = compare(before, after)
    assert [(c.name, c.ratio) for c in found.changes] == [
        ("median_ms", 0.0),
        ("rows[onnxruntime, 640x480, 1].median_ms", 0.5),
    ]
    assert found.only_before == ["rows[onnxruntime, 640x480, 2].median_ms"]
    assert found.only_after == ["rows[onnxruntime, 640x480, 4].median_ms"]
    assert found.circumstances == [("machine", "x", "y")]
    status, out, _ = run("compare", before, after)
    assert status == 0
    assert "differs: machine: x and y" in out
    assert "0.500" in out


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "is not JSON"), ("[]", "is not a JSON object"), ("{}", "have no figure in common")]
)
def test_compare_of_what_is_no_measurement(run, tmp_path, text, sentence):
    other = tmp_path / "b.json"
    other.write_text(text)
    status, out, err = run("compare", written(tmp_path / "a.json"), other)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_compare_of_the_committed_measurements(run, repo_root):
    path = repo_root / "docs" / "benchmarks" / "node.json"
    status, out, _ = run("compare", path, path)
    assert status == 0
    assert "1.000" in out
