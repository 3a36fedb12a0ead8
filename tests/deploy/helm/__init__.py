"""Helm itself, built from its Go module (go.mod and go.sum beside this file pin it)."""

from tests.deploy.helm.build import HelmError, build, render

__all__ = ["HelmError", "build", "render"]
