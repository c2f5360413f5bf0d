import os

import pytest

from vi_fusion_ros.yaml_files import is_finite_number, read_json, read_text, read_yaml, shown


@pytest.fixture
def file(tmp_path):
    def _file(content):
        path = tmp_path / "file.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _file


def laughs(levels):
    """YAML that stands for 9 ** levels values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_plain_yaml_is_read_and_aliases_may_be_used(file):
    assert read_yaml(file("a: &row [1, 2]\nb: [*row, *row]"), "file") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    assert read_yaml(file(""), "file") is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a: [", "is not YAML: "),
        ("a: \x00", "characters that do not belong there"),
        (laughs(9), "its aliases stand for too much"),
        ("a: &a [*a]", "its aliases stand for too much"),
        ("<<: &m {<<: *m}", "its aliases stand for too much"),
        ("[" * 100_000, "nested too deeply"),
        ("a: 2001-99-99", "a value cannot be read"),
        ("!!int x", "a value cannot be read"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("{[1]: 2}", "is not YAML: found unhashable key"),
        (b"\xff\xfe\x00", "it is not text"),
        ("#" * (2**20 + 1), "more than 1048576 bytes"),
    ],
)
def test_what_is_hostile_is_one_sentence(file, content, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        read_yaml(file(content), "rig file")
    assert str(error.value).startswith("rig file /")
    assert "\n" not in str(error.value)


def test_a_sentence_does_not_quote_the_file(file):
    with pytest.raises(ValueError, match="is not YAML") as error:
        read_yaml(file("root:x:0:0:secret: [\n"), "rig file")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "nothing", "1" * 5000])
def test_json_that_is_none_is_one_sentence(file, content):
    with pytest.raises(ValueError, match=r"manifest .* is not JSON"):
        read_json(file(content), "manifest")


@pytest.mark.timeout(20)
def test_what_never_ends_is_not_begun(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ValueError, match="it is not a file"):
            read_text(path, "rig file")


def test_finite_numbers():
    assert all(map(is_finite_number, (0, -1.5, 10**300)))
    assert not any(map(is_finite_number, (True, "1", None, float("nan"), float("inf"), 10**400)))


def test_what_is_shown_is_short():
    assert shown("x" * 10_000) == repr("x" * 10_000)[:200] + "..."
    assert shown(10**5000) == "a value (int) too long to print"
