"""A study of what people prefer: who is asked what, and what simulated voters with known preferences come out as."""

import itertools
import json
from collections import Counter

import cv2
import numpy as np
import pytest
from chromium import opened

from vi_fusion_ros.cli import main
from vi_fusion_ros.evaluation.metrics.fusion import METRICS
from vi_fusion_ros.evaluation.preference.questions import questions_for
from vi_fusion_ros.evaluation.preference.record import Study
from vi_fusion_ros.evaluation.preference.scores import (
    Votes,
    agreement,
    strength_intervals,
    strengths,
    tau_over_methods,
    tau_over_votes,
    wins,
)

METHODS = ("a", "b", "c", "d")
SCENES = tuple(f"s{i}" for i in range(10))
TRUE = np.array([0.9, 0.3, -0.2, -1.0])


@pytest.mark.parametrize("count", [20, 60, 500])
@pytest.mark.parametrize("methods", [2, 3, 4])
def test_pairs_scenes_and_sides_are_balanced(methods, count):
    asked = [questions_for(METHODS[:methods], SCENES, person, count, 5) for person in range(6)]
    pairs_there = methods * (methods - 1) // 2
    for questions in asked:
        assert len(questions) == min(count, 10 * pairs_there)
        assert len({(q.scene, frozenset(q[1:])) for q in questions}) == len(questions), "a question twice"
        pairs = Counter(frozenset(q[1:]) for q in questions)
        assert max(pairs.values()) - min(pairs.values()) <= 1
        scenes = Counter(q.scene for q in questions)
        assert len(scenes) == 10
        assert max(scenes.values()) - min(scenes.values()) <= 2
        for one, other in itertools.combinations(METHODS[:methods], 2):
            ways = Counter(q[1:] for q in questions)
            assert abs(ways[one, other] - ways[other, one]) <= 1
        assert not any(q.scene == after.scene for q, after in itertools.pairwise(questions[:-3]))
    first, second = ({(q.scene, frozenset(q[1:])): q.left for q in questions} for questions in asked[:2])
    shared = first.keys() & second.keys()
    assert len(shared) >= len(first) // 2
    assert all(first[key] != second[key] for key in shared), "the next person sees it the other way round"


def voters(people, seed, true=TRUE, scenes=20, count=120):
    """People who choose by the Bradley-Terry model, asked as a study asks."""
    rng = np.random.default_rng(seed)
    names, places = [f"m{i}" for i in range(len(true))], [f"s{i}" for i in range(scenes)]
    rows = []
    for person in range(people):
        for scene, left, right in questions_for(names, places, person, count, seed):
            one, other = names.index(left), names.index(right)
            if rng.random() > 1 / (1 + np.exp(true[other] - true[one])):
                one, other = other, one
            rows.append((person, places.index(scene), one, other))
    return Votes(*np.array(rows).T)


def test_known_preferences_are_recovered():
    votes = voters(30, 0)
    assert np.allclose(strengths(wins(votes, 4)), TRUE - TRUE.mean(), atol=0.12)


def test_the_intervals_hold_what_is_true():
    """Criterion: of 30 studies, 95 % intervals hold at least 88 % of the true scores, and are not much too wide."""
    held, widths = [], []
    for seed in range(30):
        low, high = strength_intervals(voters(8, seed), 4)
        held.append((low <= TRUE - TRUE.mean()) & (high >= TRUE - TRUE.mean()))
        widths.append(high - low)
    assert np.mean(held) >= 0.88
    assert np.mean(widths) < 1.0


def test_a_method_that_always_wins_has_a_finite_score():
    votes = Votes(*np.array([(p, s, 0, 1) for p in range(3) for s in range(4)]).T)
    score = strengths(wins(votes, 2))
    assert score[0] > 1
    assert np.isfinite(score).all()
    assert np.isfinite(strength_intervals(votes, 2)).all()


def test_agreement_of_like_minds_of_dice_and_of_one_who_clicks_at_random():
    sure = np.array([40.0, 20, 0, -20])
    assert agreement(voters(5, 1, sure), 5, 20).share == 1
    dice = agreement(voters(12, 2, np.zeros(4)), 12, 20)
    assert dice.ci95[0] < 0.5 < dice.ci95[1]
    mixed = voters(5, 3, sure)
    swap = (mixed.person == 2) & (np.random.default_rng(0).random(len(mixed.person)) < 0.5)
    winner = np.where(swap, mixed.loser, mixed.winner)
    own = agreement(Votes(mixed.person, mixed.scene, winner, mixed.winner + mixed.loser - winner), 5, 20).of_person
    assert own.argmin() == 2
    assert own[2] < 0.65 < np.delete(own, 2).min()


def test_agreement_needs_two_people():
    alone = agreement(voters(1, 1), 1, 20)
    assert np.isnan(alone.share)
    assert alone.shared == 0


def test_metrics_that_follow_people_that_oppose_them_and_that_know_nothing():
    votes = voters(8, 4, np.array([30.0, 10, -10, -30]))
    score = strengths(wins(votes, 4))
    good = np.tile([4.0, 3, 2, 1], (20, 1))
    assert tau_over_methods(good[0], score)[0] == pytest.approx(1)
    assert tau_over_votes(good, votes)[0] == 1
    assert tau_over_votes(-good, votes)[0] == -1
    noise = np.random.default_rng(0).normal(size=(20, 4))
    tau, (low, high) = tau_over_votes(noise, votes)
    assert low < tau < high
    assert abs(tau) < 0.35
    assert np.isnan(tau_over_votes(good * np.nan, votes)[0])


@pytest.fixture
def pictures(tmp_path):
    """Three methods whose pictures get worse, the sources, and their folders."""
    rng = np.random.default_rng(0)
    for scene in ("s1", "s2", "s10"):
        base = cv2.GaussianBlur(rng.integers(0, 256, (120, 160, 3), np.uint8), (0, 0), 2)
        base = cv2.normalize(base, None, 0, 255, cv2.NORM_MINMAX)
        thermal = cv2.flip(base[..., 0], 1)
        images = {"visible": base, "thermal": thermal, "sharp": base, "soft": cv2.GaussianBlur(base, (0, 0), 2),
                  "grey": np.full_like(base, 128)}  # fmt: skip
        images["grey"][::7] += 3
        for name, image in images.items():
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f"{scene}.png"), image)
    return {name: tmp_path / name for name in ("sharp", "soft", "grey")}


def answer_all(folder, pictures, people, rank=("sharp", "soft", "grey")):
    study = Study(folder, pictures, 9)
    for name in people:
        number = study.join(name)
        for index, question in enumerate(study.people[number].questions):
            side = "left" if rank.index(question.left) < rank.index(question.right) else "right"
            study.answer(number, index, side, 1.5)
    study.close()


def test_the_report_of_a_study(tmp_path, pictures, capsys):
    answer_all(tmp_path / "study", pictures, ["Ana", "Bo"])
    status = main(["study", "report", "--study", str(tmp_path / "study"), "--visible", str(tmp_path / "visible"),
                   "--thermal", str(tmp_path / "thermal"), "--json", str(tmp_path / "r.json"), "--report",
                   str(tmp_path / "page")])  # fmt: skip
    assert status == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["n"] == 18
    assert list(result["methods"]) == ["sharp", "soft", "grey"]
    scores = [row["score"] for row in result["methods"].values()]
    assert scores == sorted(scores, reverse=True)
    assert result["wins"]["sharp"] == {"soft": 6, "grey": 6}
    assert result["agreement"]["share"] == 1
    assert set(result["metrics"]) == set(METRICS)
    assert result["metrics"]["SD"]["tau_votes"] == 1
    assert result["metrics"]["SD"]["tau_methods"] == pytest.approx(1)
    assert "sharp" in capsys.readouterr().out.splitlines()[1]
    assert opened(tmp_path / "page" / "index.html") == 1


def test_a_report_without_answers_of_no_study_and_of_a_broken_one(tmp_path, pictures, capsys):
    report = ["study", "report", "--json", str(tmp_path / "r.json"), "--study"]
    assert main([*report, str(tmp_path / "none")]) == 2
    assert "has no study.json" in capsys.readouterr().err
    Study(tmp_path / "study", pictures, 9).close()
    assert main([*report, str(tmp_path / "study")]) == 2
    assert "nobody has answered yet" in capsys.readouterr().err
    answer_all(tmp_path / "study", pictures, ["Ana"])
    (tmp_path / "study" / "people" / "001.json").write_text('{"name": "Ana", "questions": [{"scene": 3')
    assert main([*report, str(tmp_path / "study")]) == 2
    said = capsys.readouterr().err
    assert "001.json: not a file of a study's answers" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "r.json").exists()


def test_a_study_goes_on_only_with_what_it_began_with(tmp_path, pictures):
    answer_all(tmp_path / "study", pictures, ["Ana"])
    with pytest.raises(ValueError, match="a study of sharp, soft, grey"):
        Study(tmp_path / "study", {name: pictures[name] for name in ("sharp", "soft")}, 9)
    with pytest.raises(ValueError, match="9 questions a person"):
        Study(tmp_path / "study", pictures, 5)
    cv2.imwrite(str(pictures["soft"] / "s2.png"), np.zeros((120, 160, 3), np.uint8))
    with pytest.raises(ValueError, match="1 pictures of soft have changed since the study began, the first is 's2'"):
        Study(tmp_path / "study", pictures, 9)


def test_pictures_that_make_no_study(tmp_path, pictures):
    with pytest.raises(ValueError, match="1 method is named"):
        Study(tmp_path / "study", {"sharp": pictures["sharp"]}, 9)
    cv2.imwrite(str(pictures["grey"] / "s1.png"), np.zeros((60, 80), np.uint8))
    with pytest.raises(ValueError, match="expected one size in a scene"):
        Study(tmp_path / "study", pictures, 9)
    cv2.imwrite(str(pictures["grey"] / "s1.png"), np.zeros((120, 160), np.uint16))
    with pytest.raises(ValueError, match="expected 8 bits in a picture"):
        Study(tmp_path / "study", pictures, 9)
    (pictures["grey"] / "s1.png").unlink()
    with pytest.raises(ValueError, match="no picture of 's1'; expected the same file stems in each"):
        Study(tmp_path / "study", pictures, 9)
    assert not (tmp_path / "study" / "study.json").exists()


def test_answers_of_somebody_taken_out_are_not_given_to_the_next_one(tmp_path, pictures):
    answer_all(tmp_path / "study", pictures, ["Ana", "Bo"])
    (tmp_path / "study" / "people" / "001.json").unlink()
    before = (tmp_path / "study" / "people" / "002.json").read_bytes()
    study = Study(tmp_path / "study", pictures, 9)
    assert study.join("bo") == 1
    assert study.join("Cy") == 2
    study.close()
    assert (tmp_path / "study" / "people" / "002.json").read_bytes() == before
