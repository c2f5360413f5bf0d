"""The networks as torch modules, each after its publication. Images are (N, C, H, W) float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vi_fusion_ros.model.lite0 import Backbone


class Siamese(nn.Module):
    """Which of two images is the sharper one. ``cnn``: Liu, Chen, Peng, Wang, Information Fusion 36, 2017."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 3, padding=1)
        self.conv2 = nn.Conv2d(64, 128, 3, padding=1)
        self.conv3 = nn.Conv2d(128, 256, 3, padding=1)
        self.score = nn.Conv2d(512, 2, 8, bias=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Probability that ``first`` is the sharper one, (N, 1, ceil(H / 2) - 7, ceil(W / 2) - 7).

        Args:
            first: (N, 1, H, W) grey, 0 to 1, at least 15 pixels a side.
            second: the same.
        """
        both = torch.cat([self._branch(first), self._branch(second)], 1)
        return torch.softmax(self.score(both), 1)[:, 1:]

    def _branch(self, image: Tensor) -> Tensor:
        x = functional.relu(self.conv2(functional.relu(self.conv1(image))))
        return functional.relu(self.conv3(functional.max_pool2d(x, 2, ceil_mode=True)))


class _ReplicatedConv(nn.Module):
    """3×3 convolution with replicated edges, BatchNorm, ReLU; its parts are named as in the authors' files."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(functional.pad(x, (1, 1, 1, 1), "replicate"))))


class Ifcnn(nn.Module):
    """``ifcnn`` with the element-wise maximum: Zhang et al., Information Fusion 54, 2020."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, bias=False)
        self.conv2 = _ReplicatedConv(64)
        self.conv3 = _ReplicatedConv(64)
        self.conv4 = nn.Conv2d(64, 3, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fused RGB in the scale of the inputs.

        Args:
            first: (N, 3, H, W) RGB, in the scale that the weights were trained with.
            second: the same.
        """
        features = torch.maximum(self._features(first), self._features(second))
        return self.conv4(self.conv3(features))

    def _features(self, image: Tensor) -> Tensor:
        return self.conv2(self.conv1(functional.pad(image, (3, 3, 3, 3), "replicate")))


class DeepFuse(nn.Module):
    """``deepfuse`` as its paper describes it: Prabhakar, Srikar, Babu, ICCV 2017. Both branches share their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.ModuleList([nn.Conv2d(1, 16, 5, padding=2), nn.Conv2d(16, 32, 7, padding=3)])
        self.tail = nn.ModuleList(
            [nn.Conv2d(32, 32, 7, padding=3), nn.Conv2d(32, 16, 5, padding=2), nn.Conv2d(16, 1, 5, padding=2)]
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fused luma in any scale.

        Args:
            first: (N, 1, H, W) luma, 16 to 235.
            second: the same.
        """
        x = self._activated(self.branch, first / 255) + self._activated(self.branch, second / 255)
        for layer in self.tail[:-1]:
            x = functional.relu(layer(x))
        return self.tail[-1](x)

    def _activated(self, layers: nn.ModuleList, x: Tensor) -> Tensor:
        for layer in layers:
            x = functional.relu(layer(x))
        return x


class ReleasedDeepFuse(nn.Module):
    """``deepfuse`` as its authors released it: other sizes than in the paper, no biases, leaky to the last layer."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((1, 32, 3), (32, 64, 5), (64, 64, 7), (64, 32, 5), (32, 16, 5), (16, 1, 7))
        self.layers = nn.ModuleList([nn.Conv2d(a, b, k, padding=k // 2, bias=False) for a, b, k in sizes])

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """As ``DeepFuse``."""
        x = self._run(first, 0, 2) + self._run(second, 0, 2)
        return self._run(x, 2, 6)

    def _run(self, x: Tensor, start: int, end: int) -> Tensor:
        for layer in self.layers[start:end]:
            x = functional.leaky_relu(layer(x), 0.01)
        return x


class DeepFuseAutoencoder(nn.Module):
    """``deepfuse-ae``: the network of that name by Li Hui, which most comparisons of infrared fusion have run."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3)])
        self.decoder = nn.ModuleList([nn.Conv2d(32, 32, 3), nn.Conv2d(32, 16, 3), nn.Conv2d(16, 1, 3)])

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """As ``DeepFuse``, of luma from 0 to 255."""
        return self._run(self.decoder, self._run(self.encoder, first) + self._run(self.encoder, second))

    def _run(self, layers: nn.ModuleList, x: Tensor) -> Tensor:
        for number, layer in enumerate(layers):
            x = layer(functional.pad(x, (1, 1, 1, 1), "reflect"))
            if number < len(layers) - 1:
                x = functional.relu(x)
        return x


class LiteFeatures(nn.Module):
    """ImageNet's EfficientNet-Lite0 in place of VGG-19 (``vgg-ml``) and of ResNet-50 (``resnet-zca``)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone(3)
        del self.backbone.blocks[11:]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features at strides 2, 4, 8 and 16, (N, 16 | 24 | 40 | 112, h, w).

        Args:
            image: (N, 3, H, W), in the scale that the rule asks for: it is not normalised.
        """
        x = self.backbone.stem(image)
        taps = []
        for number, block in enumerate(self.backbone.blocks):
            x = block(x)
            if number in (0, 2, 4, 10):
                taps.append(x)
        return taps[0], taps[1], taps[2], taps[3]


class VggFeatures(nn.Module):
    """What ``vgg-ml`` is published with: VGG-19's first layer of each of four stages, before its ReLU.

    Simonyan and Zisserman, ICLR 2015; the parameters are named as in torchvision.
    """

    _WIDTHS = ((64, 64), (128, 128), (256, 256, 256, 256), (512,))

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c_in = 3
        for widths in self._WIDTHS:
            for width in widths:
                layers += [nn.Conv2d(c_in, width, 3, padding=1), nn.ReLU()]
                c_in = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Features at strides 1, 2, 4 and 8 of an image as in ``LiteFeatures``."""
        taps, x = [], image
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in (0, 5, 10, 19):
                taps.append(x)
        return tuple(taps)


class _Bottleneck(nn.Module):
    """A block of ResNet-50; the parameters are named as in torchvision."""

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        c_out = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(c_in, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, c_out, 1, bias=False), nn.BatchNorm2d(c_out)
        self.downsample = None
        if stride > 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(functional.relu(self.bn2(self.conv2(y)))))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResnetFeatures(nn.Module):
    """What ``resnet-zca`` is published with: ResNet-50's last features at stride 16 (``res4f``).

    He, Zhang, Ren, Sun, CVPR 2016, as torchvision has it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        c_in = 64
        for number, (width, count) in enumerate(((64, 3), (128, 4), (256, 6)), 1):
            blocks = []
            for block in range(count):
                blocks.append(_Bottleneck(c_in, width, 2 if block == 0 and number > 1 else 1))
                c_in = 4 * width
            setattr(self, f"layer{number}", nn.Sequential(*blocks))

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Features (N, 1024, h, w) at stride 16 of an image as in ``LiteFeatures``."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(image))), 3, 2, 1)
        for layer in (self.layer1, self.layer2, self.layer3):
            x = layer(x)  # type: ignore[operator]
        return (x,)
