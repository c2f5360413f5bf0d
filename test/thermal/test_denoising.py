import cv2
import numpy as np
import pytest

from vi_fusion_ros.thermal.denoising import denoised, noise_level


def scene():
    ys, xs = np.mgrid[:240, :320]
    grey = 60 + 30 * np.sin(xs / 20) + 20 * (ys > 120) + 40 * ((xs // 40) % 2)
    return np.dstack([grey, grey * 0.9, grey * 0.8]).astype(np.uint8)


def noisy(sigma):
    return (scene() + np.random.default_rng(0).normal(0, sigma, scene().shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", [4, 8, 16])
def test_the_noise_is_measured_and_mostly_gone(sigma):
    image = noisy(sigma)
    assert noise_level(np.ascontiguousarray(image[..., 1])) == pytest.approx(sigma, rel=0.15)
    assert cv2.PSNR(denoised(image), scene()) > cv2.PSNR(image, scene()) + 4
    grey = np.ascontiguousarray(image[..., 0])
    assert denoised(grey).shape == grey.shape


def test_a_clean_image_is_left_alone():
    image = scene()
    assert denoised(image) is image


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 7), (3, 3)])
def test_tiny_images(shape):
    assert denoised(np.zeros(shape, np.uint8)).shape == shape
