import pytest

from vi_fusion_ros.node.parameters import schema


def write(path, text):
    path.write_text(text)
    return path


def test_the_package_s_own_file_holds_the_defaults(repo_root):
    assert schema.from_file(repo_root / "config" / "fusion.yaml") == schema.defaults()


def test_nested_and_dotted_names_are_the_same(tmp_path):
    text = "fusion_node:\n  ros__parameters:\n    use_sim_time: true\n    thermal:\n      scale: 0.04\n    threads: 1\n"
    values = schema.from_file(write(tmp_path / "p.yaml", text))
    assert (values["thermal.scale"], values["threads"]) == (0.04, 1)
    assert values["thermal.unit"] == "kelvin"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1, 2]", "expected one node with ros__parameters"),
        ("a: {ros__parameters: {threads: 1}}\nb: {ros__parameters: {}}", "expected one node"),
        ("a: {ros__parameters: {threads: 1.5}}", "threads is 1.5; expected integer"),
        ("a: {ros__parameters: {no_such: 1}}", "parameter no_such is unknown"),
        ("a: [", "cannot be read"),
    ],
)
def test_wrong_files_are_one_sentence(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        schema.from_file(write(tmp_path / "p.yaml", text))
    assert "\n" not in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        schema.from_file(tmp_path / "none.yaml")
