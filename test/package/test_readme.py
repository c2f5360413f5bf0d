"""The figures of README and docs/performance.md are the committed measurements, and what they link to exists."""

from __future__ import annotations

import json
import re

import pytest


@pytest.fixture(scope="module")
def readme(repo_root):
    return (repo_root / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def figures(repo_root, readme):
    return readme + (repo_root / "docs" / "performance.md").read_text(encoding="utf-8")


def measured(repo_root, name):
    return json.loads((repo_root / "docs" / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))


def test_every_link_leads_somewhere(readme, repo_root):
    links = [link for link in re.findall(r"\]\(([^)#]+)", readme) if "://" not in link]
    assert links
    assert not [link for link in links if not (repo_root / link).exists()]


def test_figures_of_the_demo(figures, repo_root):
    demo = measured(repo_root, "demo")
    total = demo["latency_ms"]["total"]
    assert f"{demo['published']} of {demo['pairs']} pairs" in figures
    assert f"median {total['p50']:.1f} ms, p99 {total['p99']:.1f} ms" in figures


def test_figures_of_the_node(figures, repo_root):
    node = measured(repo_root, "node")
    assert f"{node['beside_inference_wall_ms']:.1f} ms" in figures
    assert f"{node['cpu_ms_per_pair']['beside_inference']:.1f} ms" in figures
    assert f"{node['cpu_ms_per_pair']['node']:.1f} ms" in figures
    for row in (node, node["reference"]):
        ages = row["end_to_end_ms"]
        assert f"median {ages['p50']:.1f}, p99 {ages['p99']:.1f} ms" in figures


def test_figures_of_the_soak(figures, repo_root):
    soak = measured(repo_root, "soak")
    assert soak["passed"]
    assert soak["unaccounted"] == 0
    assert f"{soak['published']:,} results" in figures
    assert f"longest pause {soak['longest_pause_s']:.2f} s" in figures


def test_figures_of_the_bags(figures, repo_root):
    assert f"{measured(repo_root, 'bag')['smallest_ratio']:.2f} times as fast" in figures


def test_figures_of_the_model(figures, repo_root):
    model = measured(repo_root, "model")
    manifest = json.loads((repo_root / "models" / "default.json").read_text(encoding="utf-8"))
    metrics = manifest["metrics"]
    crops = metrics["classification"]["both"]["all"]
    assert f"{model['median_ms']:.1f} ms" in figures
    assert f"{metrics['parameters']:,} parameters" in figures
    assert f"macro F1 {crops['macro_f1']:.3f}" in figures
    assert measured(repo_root, "demo")["model"] == manifest["model_id"] == measured(repo_root, "node")["model"]


def test_figures_of_the_fusion(figures, repo_root):
    result = measured(repo_root, "fusion_roadscene")
    ours = result["methods"]["vi_fusion"]
    for name in ("EN", "SD", "SCD", "VIF", "Qabf", "SSIM"):
        assert f"{name} {ours[name]['mean']:.2f}" in figures
    ranks = sorted(rank for name, rank in result["mean_rank"].items() if name not in ("VIS", "IR"))
    assert f"mean rank {result['mean_rank']['vi_fusion']:.2f} of ten methods, the next {ranks[1]:.2f}" in figures
    assert len(ranks) == 10


@pytest.mark.parametrize("part", ["roadscene", "msrs", "m3svd"])
def test_figures_of_the_methods(part, figures, repo_root):
    page = (repo_root / "docs" / "methods.md").read_text(encoding="utf-8")
    result = measured(repo_root, f"methods_{part}")
    manifest = json.loads((repo_root / "models" / "default.json").read_text(encoding="utf-8"))
    again = measured(repo_root, f"fusion_{part}")
    assert again["model"]["model_id"] == manifest["model_id"]
    for name, row in again["methods"]["vi_fusion"].items():  # a model whose decoder is the same needs no new comparison
        assert row["mean"] == pytest.approx(result["methods"]["vi_fusion"][name]["mean"], abs=5e-4)
    words = {}
    for name, rank in result["mean_rank"].items():
        if name not in ("VIS", "IR"):
            low, high = result["mean_rank_ci95"][name]
            words[name] = f"{rank:.2f} ({low:.2f} to {high:.2f})"
            title = "this model" if name == "vi_fusion" else name
            assert f"| {title} | {words[name]} | {result['methods'][name]['EN']['mean']:.3f} |" in page
    if part == "roadscene":
        assert f"seven published networks {words['vi_fusion']}, `cnn` (3 s a frame) {words['cnn']}" in figures


def test_times_of_the_methods(repo_root):
    page = (repo_root / "docs" / "methods.md").read_text(encoding="utf-8")
    table = page.partition("## Ranked together on RoadScene")[2].partition("95 % intervals")[0]
    result = measured(repo_root, "methods")
    for name, row in result["methods"].items():
        if row["kind"] == "detector" or row["missing"] or name in ("max", "average"):
            continue
        (time,) = re.findall(rf"^\| {re.escape(name)} \|.*\| ([\d,.]+) \|$", table, re.MULTILINE)
        assert float(time.replace(",", "")) == pytest.approx(row["ms_640x480"], rel=0.02, abs=0.5)
    whole = result["pipeline_ms_640x480"]
    words = f"{whole['network']:.0f} ms, `laplacian` {whole['laplacian']:.1f}, `max` {whole['max']:.1f}, `average` "
    assert f"{words}{whole['average']:.1f}." in page


def test_what_consolidation_keeps(repo_root):
    page = (repo_root / "docs" / "methods.md").read_text(encoding="utf-8")
    keeps, forgets = measured(repo_root, "fusiondn_ewc")["runs"].values()
    assert forgets["ewc"] == 0 < keeps["ewc"]
    for task in keeps["after"]:
        cells = (f"{keeps['after'][task][one]:.2f} / {forgets['after'][task][one]:.2f}" for one in keeps["after"])
        assert f"| {' | '.join(cells)} |" in page


def test_figures_of_the_light_models(repo_root):
    page = (repo_root / "docs" / "light.md").read_text(encoding="utf-8")
    result = measured(repo_root, "light")
    manifest = json.loads((repo_root / "models" / "default.json").read_text(encoding="utf-8"))
    assert result["rows"][0]["model_id"] == manifest["model_id"]
    for row in result["rows"]:
        labels = ", ".join(f"{auc:.3f}" for auc in row["auc_by_label"].values())
        figures = f"{row['time']:.3f} | {row['Qabf']:.3f} | {row['VIF']:.3f} | {row['auc']:.3f} ({labels})"
        assert f"| {row['name']} | {figures} | {row['onnx_bytes'] / 1e6:.1f} |" in page


def test_figures_of_the_adaptations(repo_root):
    page = " ".join((repo_root / "docs" / "tutorials" / "adapt.md").read_text(encoding="utf-8").split())
    for clip, lead in (("1230_1202", "adapt.yaml)): "), ("0113_1714", "(0113_1714 of M3SVD; ")):
        result = measured(repo_root, f"adapt_{clip}")
        assert result["kept"]
        assert result["reasons"] == []
        change = {name: f"{name} {result['fusion'][name]['difference']:+.3f}" for name in ("Qabf", "VIF", "SCD")}
        assert lead + ", ".join(change.values()) in page
    words = measured(repo_root, "adapt_1230_1202")["words"]
    assert words["reasons"] == [], "perception is taken over"
    visible, thermal = words["visible_only"], words["thermal_only"]
    said = f"visible {visible['before']:.3f} off before, {visible['after']:.3f} after; "
    assert said + f"thermal {thermal['before']:.3f} and {thermal['after']:.3f}" in page
    thermal = measured(repo_root, "adapt_0113_1714")["words"]["thermal_only"]
    assert f"({thermal['before']:.3f} before, {thermal['after']:.3f} after)" in page
    refused = measured(repo_root, "adapt_0117_1605")
    assert not refused["kept"]
    change = {name: f"{name} {refused['fusion'][name]['difference']:+.3f}" for name in ("SCD", "Qabf", "VIF")}
    said = f"{change['SCD']}, but {change['Qabf']} and {change['VIF']} on the last fifth"
    assert f"{said}, and {100 * refused['words']['same']:.0f} % of the labels" in page


def test_figures_of_int8(repo_root):
    page = (repo_root / "docs" / "gpu.md").read_text(encoding="utf-8")
    result = measured(repo_root, "int8")
    lost = result["fusion"]["metrics"]
    for name in ("Qabf", "VIF"):
        assert f"{name} {lost[name]['float']:.3f} and {lost[name]['int8']:.3f}" in page
    score = result["classification"]["macro_f1"]
    assert f"macro F1 {score['float']:.3f} and {score['int8']:.3f}" in page


def test_figures_of_the_calibration(repo_root):
    page = " ".join((repo_root / "docs" / "registration.md").read_text(encoding="utf-8").split())
    result = measured(repo_root, "calibration")
    alone, late = result["roadscene_alone"], result["roadscene_alone_test_frames"]
    at = {percent: f"{px:.1f}" for percent, px in alone["end_px_by_percentile"].items()}
    for sentence in (
        f"all {alone['pairs']}, `visible_full`",
        f"the mean corner error was {alone['median_start_px']:.1f} px of 640 (median) at the start",
        f"{at['50']} px after; quartiles {at['25']} and {at['75']}, 90 % below {at['90']}",
        f"{alone['refused']} pairs were refused ({100 * alone['refused'] / alone['pairs']:.1f} %)",
        f"Of the {late['pairs']} test frames alone: {late['median_end_px']:.1f} px, 90 % below "
        f"{late['end_px_by_percentile']['90']:.1f}, {late['refused']} refused",
        f"{alone['end_follows_given_bend']:.2f} over all pairs and {late['end_follows_given_bend']:.2f} over the test",
        f"A pair took {alone['median_cpu_s']:.1f} s of CPU time (median; {alone['longest_cpu_s']:.0f} s where",
    ):
        assert sentence in page
    assert alone["worse_than_start"] == 0
    far = sorted(row["end_px"] for row in result["pairs"] if not row["refused"] and row["end_px"] > 20)
    assert f"off by more than 20 px ({' and '.join(f'{px:.0f}' for px in far)})" in page
    stands = result["any_stand"]
    assert f"{stands['within_1_px']} of {stands['rigs']} in all, none wrong" in page
    assert stands["within_1_px"] + stands["refused"] == stands["rigs"]
    assert stands["different_accepted"] == 0
    assert f"all {stands['different']} were refused" in page
    for name in ("roadscene", "m3svd"):
        rows = result[f"{name}_together"]
        cells = (", ".join(f"{row[key]:.2f}" for row in rows) for key in ("off_px", "as_given_px", "relative_px"))
        assert " px | ".join(cells) + " px |" in page
        assert ", ".join(f"{row['uncertainty_px']:.2f}" for row in rows) + " px" in page
    for clip in ("0113_1714", "0117_1605"):
        assert f"{clip} within {result['time_offset'][clip]['worst_error_ms']:.1f} ms" in page


def test_figures_of_the_registration(repo_root):
    page = " ".join((repo_root / "docs" / "registration.md").read_text(encoding="utf-8").split())
    result = measured(repo_root, "registration")
    for row in result["error_px"]:
        cells = " | ".join(f"{row[key]:.2f}" for key in ("plane", "depth", "depth_1_percent_off"))
        assert f"| {row['distance_m']:g} m | {cells} |" in page
    depth, plane, cloud = (
        f"{result['stages'][stage]['cpu_median_ms']:.1f}"
        for stage in ("warp_depth_640x480", "warp_plane_640x480", "depth_of_76800_points")
    )
    assert f"A frame costs {depth} ms of one core's time with depth and {plane} ms without" in page
    assert f"a cloud of 76800 points {cloud} ms more" in page


def test_figures_of_the_sets_that_were_left_out(repo_root):
    page = (repo_root / "docs" / "model.md").read_text(encoding="utf-8")
    figures_ = measured(repo_root, "leave_one_out")["figures"]
    for group in ("all", "street", "campus"):
        for mode in ("both", "visible_only", "thermal_only"):
            cells = [_left_out(row) for row in figures_[group][mode].values()]
            row = f"| {group} | {figures_[group]['frames']} | {mode.replace('_', ' ')} | {' | '.join(cells)} |"
            assert row in page


def _left_out(row):
    if "auc" not in row:
        return f"{row['with']} of {row['frames']}, –"
    low, high = row["auc_ci95"]
    recall = f"{row['recall_at_5']:.2f} / {row['recall_at_10']:.2f}"
    return f"{row['with']} of {row['frames']}, {row['auc']:.3f} ({low:.2f}–{high:.2f}), {recall}"
