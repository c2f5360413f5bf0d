"""The methods that run networks: against published outputs, with the authors' weights that are never committed."""

import json
import os

import cv2
import numpy as np
import pytest
from methods_support import stripes_and_square, within_one_level

from vi_fusion_ros.cli import main
from vi_fusion_ros.methods import cnn, deepfuse, ifcnn, resnet_zca, vgg_ml
from vi_fusion_ros.methods.networks import Network, plane
from vi_fusion_ros.methods.registry import METHODS, chosen, method

WEIGHTS = {
    "cnn": "cnnmodel.mat",
    "ifcnn": "IFCNN-MAX.pth",
    "deepfuse": "deepfuse_author_DF_model_Epoch99.npz",
    "deepfuse-ae": "deepfuse_li_port_bs2_epoch4_all.ckpt.data",
}
MANY_PIXELS = 150_000
"""Larger images are compared where VI_FUSION_ALL_GOLDENS is set: they take minutes of processor time."""


def larger_ones_on_request(image):
    if image.size > MANY_PIXELS and not os.environ.get("VI_FUSION_ALL_GOLDENS"):
        pytest.skip("a large image; set VI_FUSION_ALL_GOLDENS=1 to compare it")


@pytest.fixture(scope="module")
def authors(published, tmp_path_factory):
    """ONNX file of a method with its authors' weights, made by the command."""
    pytest.importorskip("torch", reason="torch turns the authors' weights into ONNX files")
    pytest.importorskip("onnx", reason="as above")
    pytest.importorskip("scipy.io", reason="scipy reads one of the authors' files")
    folder = tmp_path_factory.mktemp("authors")
    made = {}

    def file(name):
        if name not in made:
            given = folder / WEIGHTS[name]
            given.write_bytes(published.open(f"weights/{WEIGHTS[name]}").read())
            made[name] = folder / f"{name}.onnx"
            assert main(["export", str(given), "--method", name, "-o", str(made[name])]) == 0
        return made[name]

    return file


@pytest.mark.data
@pytest.mark.parametrize("stem", [*(f"road_0{k}" for k in range(1, 7)), "tno10_04", "tno10_07"])
def test_cnn_gives_the_published_images(published, authors, stem):
    wanted = published.image(f"cnn_ivif/{stem}.png")
    larger_ones_on_request(wanted)
    fused = method("cnn").with_weights(authors("cnn")).fuse(*published.sources(stem))
    assert within_one_level(fused, wanted) >= 0.999
    assert (fused == wanted).mean() >= 0.999


@pytest.mark.data
@pytest.mark.parametrize(
    ("normalised", "folder", "stem"),
    [
        *(("imagenet", "ifcnn_max_imagenetnorm", f"ifcnn_{name}")
          for name in ("Camp", "Camp1", "Dune", "Kayak", "Road", "Road2", "Trees4906", "Trees4917")),
        *(("none", "ifcnn_max_nonorm", stem)
          for stem in ("ifcnn_Camp", "ifcnn_Kayak", "ifcnn_Road", *(f"road_0{k}" for k in range(1, 7)))),
    ],
)  # fmt: skip
def test_ifcnn_gives_the_published_images(published, authors, normalised, folder, stem):
    wanted = published.image(f"{folder}/{stem}.png")
    larger_ones_on_request(wanted)
    fused = ifcnn.fuse(Network(authors("ifcnn")), *published.sources(stem), normalised)
    assert within_one_level(fused, wanted) == 1
    assert (fused == wanted).mean() > 0.9999


@pytest.mark.data
def test_deepfuse_gives_the_published_image(published, authors):
    wanted = published.image("deepfuse_author/deepfuse_forth4.png")
    larger_ones_on_request(wanted)
    fused = deepfuse.fuse(Network(authors("deepfuse")), *published.sources("deepfuse_forth4"))
    assert within_one_level(fused, wanted) == 1


@pytest.mark.data
def test_deepfuse_gives_a_part_of_the_published_image(published, authors):
    """Up to the stretch, which depends on the whole image."""
    part, inner, reach = np.s_[200:380, 300:500], np.s_[13:-13, 13:-13], 13
    sources = [plane(image[part]) for image in published.sources("deepfuse_forth4")]
    made = Network(authors("deepfuse"))(*sources)[0][0, 0, reach:-reach, reach:-reach].astype(float)
    wanted = published.image("deepfuse_author/deepfuse_forth4.png")[part][inner].astype(float)
    assert wanted.std() > 10
    scale, offset = np.polyfit(made.ravel(), wanted.ravel(), 1)
    assert scale > 0
    assert np.abs(scale * made + offset - wanted).max() < 1


@pytest.mark.data
@pytest.mark.parametrize("number", range(1, 22, 2))
def test_the_autoencoder_gives_the_published_images(published, authors, number):
    stem = f"tno21_{number:02d}"
    fused = method("deepfuse-ae").with_weights(authors("deepfuse-ae")).fuse(*published.sources(stem))
    assert within_one_level(fused, published.image(f"deepfuse_li_port/{stem}.png")) == 1


@pytest.mark.data
def test_vgg_ml_with_another_backbone_is_near_the_published_images(published):
    differences = []
    for number in range(1, 22, 2):
        stem = f"tno21_{number:02d}"
        fused = method("vgg-ml").fuse(*published.sources(stem))
        differences.append(np.abs(fused.astype(float) - published.image(f"vggml/{stem}.png")).mean())
    assert np.mean(differences) < 0.5
    assert max(differences) < 0.6


class Sharper:
    """In place of the network of ``cnn``: the first image is the sharper one in its left half."""

    def __call__(self, first, second):
        height, width = first.shape[2:]
        share = np.zeros((1, 1, -(-height // 2) - 7, -(-width // 2) - 7), np.float32)
        share[..., : share.shape[3] // 2] = 1
        return [share]


def test_each_value_of_the_map_is_spread_over_its_patch():
    share = np.zeros((1, 1, 3, 4), np.float32)
    share[0, 0, 1, 2] = 1
    weight = cnn.weight_map(lambda a, b: [share], np.zeros((19, 21)), np.zeros((19, 21)))
    assert weight.shape == (19, 21)
    assert (weight[2:18, 4:20] > 0).all()
    assert weight[:2].max() == weight[18:].max() == weight[:, :4].max() == weight[:, 20:].max() == 0
    assert weight[10, 10] == pytest.approx(1 / 12)


def test_focal_planes_are_put_together():
    rng = np.random.default_rng(0)
    sharp = cv2.resize(rng.integers(0, 256, (20, 30), np.uint8), (120, 80), interpolation=cv2.INTER_NEAREST)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 3)
    first, second = blurred.copy(), blurred.copy()
    first[:, :60], second[:, 60:] = sharp[:, :60], sharp[:, 60:]
    fused = cnn.focus(Sharper(), first, second)
    assert np.abs(fused[:, :40].astype(int) - sharp[:, :40]).mean() < 1
    assert np.abs(fused[:, 80:].astype(int) - sharp[:, 80:]).mean() < 1


def test_cnn_refuses_images_that_have_no_patch():
    with pytest.raises(ValueError, match="method cnn: the images are 40×14; expected at least 15 pixels a side"):
        cnn.cnn(Sharper(), np.zeros((14, 40), np.uint8), np.zeros((14, 40), np.uint8))


def test_detail_of_the_more_active_source_is_taken_where_features_reach():
    first, second = np.full((5, 7), 1.0), np.full((5, 7), -1.0)
    strong, none = np.ones((3, 2, 3), np.float32), np.zeros((3, 2, 3), np.float32)
    fused = vgg_ml.fused_detail(first, second, strong, none, 2)
    assert (fused[:4, :6] == 1).all()
    assert (fused[4:] == 0).all(), "what no feature is of"
    assert (vgg_ml.fused_detail(first, second, strong, strong, 2)[:4, :6] == 0).all()
    activity = vgg_ml.activity(np.ones((4, 3, 3), np.float32))
    np.testing.assert_allclose(activity, np.array([[16, 24, 16], [24, 36, 24], [16, 24, 16]]) / 9)


def test_whitened_channels_have_uncorrelated_rows_of_unit_power():
    features = np.random.default_rng(0).normal(1, 3, (2, 5, 40)).astype(np.float32)
    features[1] = 0
    white = resnet_zca.whitened(features)
    # Rows without a common mean of their own: what the mean of the channel leaves is whitened as it is.
    np.testing.assert_allclose(white[0] @ white[0].T, np.eye(5), atol=1e-5)
    assert (white[1] == 0).all(), "a channel that never responds"
    centred = features[0].astype(float) - features[0].mean(dtype=float)
    assert np.trace(white[0] @ centred.T) > 0, "zero phase: the channel itself, not a turned one"


def test_bicubic_enlargement_is_matlabs():
    # imresize([0 0 1 0 0], [1 10], 'bicubic'), by its formula: a = -0.5 at distances of 0.25, 0.75, 1.25 and 1.75.
    enlarged = resnet_zca.enlarged(np.array([[0.0, 0, 1, 0, 0]]), (1, 10))
    half = [-0.0234375, -0.0703125, 0.2265625, 0.8671875]
    np.testing.assert_allclose(enlarged[0], [0, *half, *half[::-1], 0], atol=1e-12)
    np.testing.assert_allclose(resnet_zca.enlarged(np.full((3, 4), 2.0), (50, 37)), 2)


def test_the_source_of_larger_features_weighs_more():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(8, 6, 6)).astype(np.float32)
    halves = resnet_zca.fused(np.ones((60, 60)), np.zeros((60, 60)), features, features)
    np.testing.assert_allclose(halves, 0.5)
    silent = np.zeros_like(features)
    np.testing.assert_allclose(resnet_zca.fused(np.ones((60, 60)), np.zeros((60, 60)), features, silent), 1)
    np.testing.assert_allclose(resnet_zca.fused(np.ones((9, 9)), np.zeros((9, 9)), silent, silent), 0.5)


SHIPPED = [name for name, entry in METHODS.items() if entry.weights]


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_of_this_package_show_both_cameras(name):
    visible, thermal = stripes_and_square()
    fused = method(name).fuse(visible, thermal)
    assert fused.dtype == np.uint8
    assert fused.shape == visible.shape
    assert fused[24:36, 14:26].mean() > fused[24:36, 36:48].mean() + 15, "the warm square"
    assert fused[:, 60:90].std() > 8, "the stripes"


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (33, 50)])
def test_any_size_or_one_sentence(name, shape):
    images = np.full(shape, 10, np.uint8), np.full(shape, 200, np.uint8)
    # Less than two of lite0's coarsest features; no patch; no pixel to mirror.
    if min(shape) < {"lite0": 32, "cnn": 15, "fusiondn": 2}.get(method(name).weights.stem, 1):
        with pytest.raises(ValueError, match=f"{shape[1]}×{shape[0]}") as caught:
            method(name).fuse(*images)
        assert "\n" not in str(caught.value)
    else:
        assert method(name).fuse(*images).shape == shape


@pytest.fixture
def stand_in(tmp_path):
    """ONNX file that names ``cnn`` and gives what it gets."""
    onnx = pytest.importorskip("onnx", reason="onnx writes the file")
    shape = [1, 1, "h", "w"]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["first", "second"], ["fused"])],
        "stand-in",
        [value(name, 1, shape) for name in ("first", "second")],
        [value("fused", 1, shape)],
    )

    def write(**about):
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.helper.set_model_props(model, {f"vi_fusion.{key}": text for key, text in about.items()})
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.onnx"
        onnx.save(model, str(path))
        return path

    return write


def test_weights_name_their_methods(stand_in):
    path = stand_in(methods="deepfuse,deepfuse-ae", faithful="made up")
    entries = chosen("deepfuse,max,deepfuse-ae", [path])
    assert [entry.weights for entry in entries] == [path, None, path]
    assert [entry.faithful for entry in entries] == ["made up", "baseline", "made up"]
    visible, thermal = stripes_and_square()
    total = visible.astype(int) + thermal
    stretched = np.floor(255 * (total - total.min()) / (total.max() - total.min()) + 0.5)
    assert (entries[2].fuse(visible, thermal) == stretched).all()


def test_unusable_weights_are_one_sentence(stand_in, tmp_path):
    of_cnn, of_none = stand_in(methods="cnn"), stand_in()
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    for path, sentence in (
        (tmp_path / "none.onnx", "none.onnx are missing; expected an ONNX file of a fusion method"),
        (text, "text.onnx cannot be loaded: "),
        (of_none, "name no fusion method; expected a file that vi-fusion export made of one"),
        (of_cnn, "are of cnn; expected some of ifcnn"),
    ):
        with pytest.raises(ValueError, match=sentence) as caught:
            method("ifcnn").with_weights(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="method max runs no network; expected no weights, found "):
        method("max").with_weights(of_cnn)
    with pytest.raises(ValueError, match="are of cnn; expected some of max,gtf"):
        chosen("max,gtf", [of_cnn])
    with pytest.raises(ValueError, match="failed on an image of 20×30"):
        Network(of_cnn)(plane(np.zeros((30, 20))), plane(np.zeros((31, 21))))


def test_a_method_without_weights_says_how_to_get_them():
    entry = method("deepfuse-ae")
    sentence = "method deepfuse-ae has no weights here; expected: --weights FILE, made by vi-fusion export of "
    assert entry.missing.startswith(sentence)
    assert entry not in chosen("all")
    with pytest.raises(ValueError, match=sentence):
        entry.fuse(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=sentence):
        chosen("deepfuse-ae")


def write_pair(folder):
    for camera, image in zip(("visible", "thermal"), stripes_and_square(), strict=True):
        (folder / camera).mkdir()
        cv2.imwrite(str(folder / camera / "a.png"), image)
    return ["--visible", f"{folder}/visible", "--thermal", f"{folder}/thermal"]


def test_both_commands_take_weights(stand_in, tmp_path, capsys):
    given, path = write_pair(tmp_path), stand_in(methods="deepfuse-ae", faithful="made up")
    out = ["--out", f"{tmp_path}/out"]
    assert main(["fuse", *given, *out, "--method", "deepfuse-ae", "--weights", str(path)]) == 0
    assert (tmp_path / "out" / "a.png").is_file()
    assert main(["evaluate", "fusion", *given, "--methods", "deepfuse-ae", "--weights", str(path), "--jobs", "1",
                 "--json", f"{tmp_path}/out.json"]) == 0  # fmt: skip
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["fusion_methods"]["deepfuse-ae"]["faithful"] == "made up"
    assert written["fusion_methods"]["deepfuse-ae"]["weights"] == path.name
    capsys.readouterr()
    assert main(["fuse", *given, *out, "--weights", str(path)]) == 2
    assert "goes with --method NAME" in capsys.readouterr().err
    assert main(["fuse", *given, *out, "--method", "deepfuse-ae"]) == 2
    assert "method deepfuse-ae has no weights here; expected: --weights FILE" in capsys.readouterr().err


def test_export_names_a_file_that_is_no_authors(tmp_path, capsys):
    pytest.importorskip("torch", reason="export needs it")
    wrong = tmp_path / "wrong.npz"
    wrong.write_bytes(b"nothing")
    for name in ("cnn", "ifcnn", "deepfuse", "deepfuse-ae", "vgg-ml", "resnet-zca"):
        assert main(["export", str(wrong), "--method", name, "-o", f"{tmp_path}/x.onnx"]) == 2
        said = capsys.readouterr().err
        assert f"no weights of {name} (" in said
        assert said.count("\n") == 1
    assert main(["export", f"{tmp_path}/none", "--method", "cnn", "-o", f"{tmp_path}/x.onnx"]) == 2
    assert "is missing; expected the weights of cnn, cnnmodel.mat" in capsys.readouterr().err
    assert main(["export", str(wrong), "--method", "gtf", "-o", f"{tmp_path}/x.onnx"]) == 2
    assert "no published weights are known for 'gtf'; expected one of cnn, " in capsys.readouterr().err


@pytest.mark.parametrize(("name", "kind"), [("vgg-ml", "VggFeatures"), ("resnet-zca", "ResnetFeatures")])
def test_published_backbones_are_read_as_torchvision_names_them(tmp_path, name, kind):
    """With random weights, for the real ones are hundreds of megabytes; their names and sizes are what is checked."""
    torch = pytest.importorskip("torch", reason="torch holds the backbone")
    networks = pytest.importorskip("vi_fusion_ros.training.methods.networks")
    weights = getattr(networks, kind)().state_dict()
    last = {"vgg-ml": "features.19.weight", "resnet-zca": "layer3.5.bn3.weight"}[name]
    assert weights[last].shape[0] == {"vgg-ml": 512, "resnet-zca": 1024}[name]
    torch.save({**weights, "classifier.6.bias": torch.zeros(1000)}, tmp_path / "given.pth")
    assert main(["export", f"{tmp_path}/given.pth", "--method", name, "-o", f"{tmp_path}/made.onnx"]) == 0
    entry = method(name).with_weights(tmp_path / "made.onnx")
    assert entry.faithful == "published"
    assert entry.fuse(*stripes_and_square()).shape == (64, 96)
