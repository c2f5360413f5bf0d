import json

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import yaml
from rclpy.parameter import Parameter

from vi_fusion_ros.node.parameters import declaration, docs
from vi_fusion_ros.resources import share_path

pytestmark = pytest.mark.ros
GENERATED = "run python -m vi_fusion_ros.node.parameters.docs"


def test_the_generated_files_are_those_of_the_schema(repo_root):
    assert (repo_root / "config" / "fusion.yaml").read_text() == docs.yaml_text(), GENERATED
    assert (repo_root / "docs" / "parameters.md").read_text() == docs.markdown_text(), GENERATED


def test_the_parameter_file_holds_the_defaults():
    file = yaml.safe_load((share_path() / "config" / "fusion.yaml").read_text())
    assert file == {"/**": {"ros__parameters": {name: rule["default"] for name, rule in declaration.schema().items()}}}


@pytest.mark.parametrize("name", declaration.schema())
def test_every_rule_is_complete_and_its_default_passes(name):
    rule = declaration.schema()[name]
    assert rule["description"].endswith(".")
    assert rule["x-applies"] in ("start", "configure", "run")
    assert declaration.fault(name, rule["default"]) is None
    assert ("minimum" in rule) == (rule["type"] in ("integer", "number"))
    json.dumps(rule)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("queue_depth", 0, "parameter queue_depth is 0; expected 1 to 30"),
        ("queue_depth", True, "parameter queue_depth is True; expected integer"),
        ("pairing.max_skew", float("nan"), "parameter pairing.max_skew is nan; expected 0.0 to 10.0"),
        ("pairing.max_skew", 1, "parameter pairing.max_skew is 1; expected number"),
        ("thermal.range", [1.0], "parameter thermal.range has 1 values; expected 2"),
        (
            "pairing.policy",
            "hopeful",
            "parameter pairing.policy is 'hopeful'; expected one of nearest, approximate, exact",
        ),
    ],
)
def test_faults_are_one_sentence(name, value, sentence):
    assert declaration.fault(name, value) == sentence


def test_a_request_is_taken_as_a_whole_or_not_at_all():
    good, bad = Parameter("queue_depth", value=2), Parameter("output.jpeg_quality", value=1000)
    assert declaration.changes([good], configured=True) == {"queue_depth": 2}
    with pytest.raises(ValueError, match=r"output\.jpeg_quality is 1000"):
        declaration.changes([good, bad], configured=False)


def test_parameters_of_others_pass():
    assert declaration.changes([Parameter("use_sim_time", value=True)], configured=True) == {}


def test_what_applies_at_configuration_is_refused_later():
    request = [Parameter("threads", value=4)]
    assert declaration.changes(request, configured=False) == {"threads": 4}
    with pytest.raises(ValueError, match="deactivate and clean it up first"):
        declaration.changes(request, configured=True)
