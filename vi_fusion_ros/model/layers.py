"""Building blocks that train with parallel branches and deploy as one plain convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAK = 0.1
"""Slope of Darknet's leaky ReLU below zero."""


class RepConv(nn.Module):
    """A 3×3 convolution trained as a weighted sum of 3×3, 1×1 and identity branches, then BatchNorm and ReLU.

    The branches are summed *before* the convolution runs, so training costs no more than one plain convolution
    (online re-parameterisation, Hu et al., CVPR 2022), and ``fold`` merges BatchNorm too.

    Shapes: (N, C_in, H, W) to (N, C_out, ceil(H / stride), ceil(W / stride)), float32.

    Args:
        c_in: input channels.
        c_out: output channels.
        stride: 1 or 2. The identity branch exists only where stride is 1 and ``c_in == c_out``.
    """

    eye: Tensor

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(c_out, c_in, 3, 3))
        self.pointwise = nn.Parameter(torch.empty(c_out, c_in, 1, 1))
        self.scale = nn.Parameter(torch.ones(c_out, 1, 1, 1))
        self.pointwise_scale = nn.Parameter(torch.ones(c_out, 1, 1, 1))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.pointwise, nonlinearity="relu")
        self.identity_scale: nn.Parameter | None = None
        if stride == 1 and c_in == c_out:
            self.identity_scale = nn.Parameter(torch.ones(c_out, 1, 1, 1))
            self.register_buffer("eye", torch.eye(c_out)[:, :, None, None], persistent=False)
        self.norm = nn.BatchNorm2d(c_out)

    def kernel(self) -> Tensor:
        """The merged 3×3 kernel before BatchNorm, (C_out, C_in, 3, 3)."""
        center = self.pointwise * self.pointwise_scale
        if self.identity_scale is not None:
            center = center + self.eye * self.identity_scale
        return self.weight * self.scale + functional.pad(center, (1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, rectify."""
        return functional.relu(self.norm(functional.conv2d(x, self.kernel(), stride=self.stride, padding=1)))

    @torch.no_grad()
    def fold(self) -> nn.Sequential:
        """The same function of its input (in eval mode) as one plain convolution and a ReLU."""
        return _folded(self.kernel(), self.norm, self.stride, 1)

    @torch.no_grad()
    def unfold(self, weight: Tensor, bias: Tensor) -> None:
        """Become (in eval mode) the plain convolution of this weight and bias: what ``fold`` did, undone."""
        self.weight.copy_(weight)
        self.pointwise.zero_()
        for scale in (self.scale, self.pointwise_scale):
            scale.fill_(1)
        if self.identity_scale is not None:
            self.identity_scale.zero_()
        _neutral(self.norm, bias)

    @torch.no_grad()
    def become_identity(self) -> None:
        """Pass on (in eval mode) what comes in, where that is not negative; needs the identity branch."""
        assert self.identity_scale is not None, "only a block with an identity branch can pass on what comes in"
        self.unfold(torch.zeros_like(self.weight), torch.zeros(len(self.weight)))
        self.identity_scale.fill_(1)


class ConvThenNorm(nn.Module):
    """A convolution without bias, ``conv``, and the BatchNorm behind it, ``norm``."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d

    def fold(self) -> nn.Sequential:
        """The same function of its input (in eval mode) without BatchNorm."""
        raise NotImplementedError

    @torch.no_grad()
    def unfold(self, weight: Tensor, bias: Tensor) -> None:
        """Become (in eval mode) the plain convolution of this weight and bias: what ``fold`` did, undone."""
        self.conv.weight.copy_(weight)
        _neutral(self.norm, bias)


class ConvNormReLU(ConvThenNorm):
    """A plain convolution, BatchNorm and ReLU that folds the same way; for kernels that need no extra branches.

    Args:
        c_in: input channels.
        c_out: output channels.
        kernel: kernel size, pixels.
        stride: stride, pixels.
        padding: zero padding, pixels.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(c_out)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, rectify."""
        return functional.relu(self.norm(self.conv(x)))

    @torch.no_grad()
    def fold(self) -> nn.Sequential:
        """The same function of its input (in eval mode) as one plain convolution and a ReLU."""
        return _folded(self.conv.weight, self.norm, int(self.conv.stride[0]), int(self.conv.padding[0]))


class ConvNorm(ConvThenNorm):
    """A convolution, BatchNorm and ReLU6 as EfficientNet-Lite has them; folds to a plain convolution.

    Where the stride is 2 the padding is TensorFlow's "same": one pixel less on the left and above, for even sizes.

    Args:
        c_in: input channels.
        c_out: output channels.
        kernel: kernel size, pixels.
        stride: 1 or 2.
        groups: of the convolution.
        activation: whether ReLU6 follows.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, activation: bool = True
    ) -> None:
        super().__init__()
        before, total = (kernel - stride) // 2, kernel - stride
        self.pad = (before, total - before) * 2
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, bias=False, groups=groups)
        self.norm = nn.BatchNorm2d(c_out, eps=1e-3, momentum=0.01)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Pad, convolve, normalise, clip."""
        x = self.norm(self.conv(_padded(x, self.pad)))
        return functional.relu6(x) if self.activation else x

    @torch.no_grad()
    def load(self, given: dict[str, Tensor], conv: str, norm: str) -> None:
        """Take the weights of the layers of these names."""
        self.conv.weight.copy_(given[f"{conv}.weight"])
        own = {name: given[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")}
        self.norm.load_state_dict(own, strict=False)

    @torch.no_grad()
    def fold(self) -> nn.Sequential:
        """The same function of its input (in eval mode) without BatchNorm."""
        conv = _folded_conv(self.conv, self.conv.weight, self.norm)
        left, right = self.pad[:2]
        if left == right:
            conv.padding = (left, left)
        else:
            conv = _PaddedConv(conv, self.pad)
        return nn.Sequential(conv, *([nn.ReLU6()] if self.activation else []))


class ConvNormLeaky(ConvThenNorm):
    """A convolution, BatchNorm and leaky ReLU as Darknet has them; folds to a plain convolution.

    Args:
        c_in: input channels.
        c_out: output channels.
        kernel: kernel size, pixels, odd; zero padding keeps the size.
        stride: stride, pixels.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, rectify."""
        return functional.leaky_relu(self.norm(self.conv(x)), LEAK)

    @torch.no_grad()
    def load(self, values: Tensor) -> Tensor:
        """Take this layer's weights from the front of Darknet's, (n,) float32, and return the rest."""
        norm = self.norm
        for part in (norm.bias, norm.weight, norm.running_mean, norm.running_var, self.conv.weight):
            assert part is not None
            part.copy_(values[: part.numel()].reshape(part.shape))
            values = values[part.numel() :]
        return values

    @torch.no_grad()
    def fold(self) -> nn.Sequential:
        """The same function of its input (in eval mode) without BatchNorm."""
        return nn.Sequential(_folded_conv(self.conv, self.conv.weight, self.norm), nn.LeakyReLU(LEAK))


class ScaleAndShift(nn.Module):
    """Each channel times a positive factor, plus an offset: those of the identity at first; folds to a 1×1 convolution.

    Its few numbers are learned ``PACE`` times as fast as other weights: each step of Adam moves a weight by the
    learning rate at most, and these have far to go in a run of a few hundred steps.

    Shapes: (N, C, h, w) to the same.
    """

    PACE = 10.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift."""
        return x * torch.exp(self.PACE * self.scale) + self.PACE * self.shift

    @torch.no_grad()
    def fold(self) -> nn.Sequential:
        """The same function of its input."""
        count = len(self.scale)
        conv = nn.Conv2d(count, count, 1, groups=count)
        conv.weight.copy_(torch.exp(self.PACE * self.scale)[:, None])
        conv.bias.copy_(self.PACE * self.shift.flatten())  # type: ignore[union-attr]
        return nn.Sequential(conv)

    @torch.no_grad()
    def unfold(self, kernel: Tensor, bias: Tensor) -> None:
        """Undo ``fold``."""
        self.scale.copy_(torch.log(kernel[:, 0]) / self.PACE)
        self.shift.copy_(bias[:, None, None] / self.PACE)


FOLDABLE = (RepConv, ConvThenNorm, ScaleAndShift)
"""The blocks that deploy as a plain convolution: they have ``fold``, and ``unfold``, which undoes it."""


def fold_all(module: nn.Module) -> nn.Module:
    """Replace, in place, every block below ``module`` that is ``FOLDABLE`` by its folded form; returns ``module``."""
    for name, child in module.named_children():
        if isinstance(child, FOLDABLE):
            setattr(module, name, child.fold())
        else:
            fold_all(child)
    return module


def _neutral(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """Make a BatchNorm add ``bias`` and do nothing else."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.copy_(bias)


class _PaddedConv(nn.Conv2d):
    """A convolution whose zero padding differs from side to side: left, right, above, below."""

    def __init__(self, like: nn.Conv2d, pad: tuple[int, ...]) -> None:
        super().__init__(
            like.in_channels,
            like.out_channels,
            like.kernel_size,  # type: ignore[arg-type]
            like.stride,  # type: ignore[arg-type]
            groups=like.groups,
        )
        self.load_state_dict(like.state_dict())
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, self.pad))


def _padded(x: Tensor, pad: tuple[int, ...]) -> Tensor:
    return functional.pad(x, pad) if any(pad) else x


def _folded(kernel: Tensor, norm: nn.BatchNorm2d, stride: int, padding: int) -> nn.Sequential:
    c_out, c_in, size, _ = kernel.shape
    conv = _folded_conv(nn.Conv2d(c_in, c_out, size, stride, padding), kernel, norm)
    return nn.Sequential(conv, nn.ReLU())


def _folded_conv(like: nn.Conv2d, kernel: Tensor, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution of the shape of ``like`` that does what ``kernel`` and then ``norm`` (in eval mode) do."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    made = nn.Conv2d(
        like.in_channels,
        like.out_channels,
        like.kernel_size,  # type: ignore[arg-type]
        like.stride,  # type: ignore[arg-type]
        like.padding,  # type: ignore[arg-type]
        groups=like.groups,
    )
    made.weight.copy_(kernel * gain[:, None, None, None])
    made.bias.copy_(norm.bias - norm.running_mean * gain)  # type: ignore[union-attr]
    return made
