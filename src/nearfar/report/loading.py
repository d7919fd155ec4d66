"""The lines that load an encoder without nearfar, and make its input of an image: plain torch,
timm, Pillow and safetensors, as text.

What a run folder says of its encoder comes from whoever made it, and a reader will copy and execute
these lines. So strings go in as literals, and a stem edit is printed only when it is `name =
nn.Layer(literals)`.
"""

import ast
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from nearfar.core.errors import RunError
from nearfar.run_folder.names import ENCODER
from nearfar.run_folder.records import EncoderFile

_CONV4 = """\
layers = []
for channels_in, channels_out in [(3, 8), (8, 16), (16, 32), (32, 64)]:
    layers += [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
        nn.AvgPool2d(2) if channels_out < 64 else nn.AdaptiveAvgPool2d(1),
    ]
encoder = nn.Sequential(*layers, nn.Flatten())
"""
_SMALL_RESNET = """\
width = 16
layers = [nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())]
for wider, stride in [(16, 1), (32, 2), (64, 2)]:
    shortcut = nn.Sequential(nn.Conv2d(width, wider, 1, stride, bias=False), nn.BatchNorm2d(wider))
    first = BasicBlock(width, wider, stride, shortcut if wider > width else None)
    layers.append(nn.Sequential(first, *(BasicBlock(wider, wider) for _ in range({more}))))
    width = wider
encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""
_OWN = {
    "conv4": _CONV4,
    "resnet8": _SMALL_RESNET.format(more=0),
    "resnet32": _SMALL_RESNET.format(more=4),
    "resnet56": _SMALL_RESNET.format(more=8),
}


_REMEDY = "make the run again with --force"


def loading_lines(encoder: Mapping[str, Any], weights: str | PurePath = ENCODER) -> str:
    """Python lines, from what a run folder says of its encoder, that leave the trained module in
    `encoder`, in eval mode, and what makes its input in `to_input`.

    `weights`: the file, as it is to be named in the lines. One line where timm has the network and
    the file stands in a folder of timm's form. RunError if nearfar does not write such objects.
    """
    file, path = EncoderFile.read(encoder, "encoder", _REMEDY), PurePath(weights)
    if opens_in_timm(file) and path.name == ENCODER.name:
        imports, made = [], [timm_line(path.parent)]
    else:
        imports = ["from safetensors.torch import load_file"]
        if file.built_by == "nearfar" or file.stem:
            imports.append("from torch import nn")
        if file.built_by == "nearfar" and file.architecture != "conv4":
            imports.append("from torchvision.models.resnet import BasicBlock")
        made = [_module(file).rstrip("\n"), *_weights(path)]
    return "\n".join([*_imports(file), *imports, "", *made, "", *_transform(file), ""])


def opens_in_timm(file: EncoderFile) -> bool:
    """Whether timm has the network, so that the encoder's folder is all that it needs."""
    return file.built_by == "timm" and not file.stem


def timm_line(folder: PurePath) -> str:
    """What opens an encoder's folder in timm."""
    name = ascii(f"local-dir:{folder.as_posix()}")
    return f"encoder = timm.create_model({name}, pretrained=True).eval()"


def _imports(file: EncoderFile) -> list[str]:
    lines = ["import numpy as np", *(["import timm"] if file.built_by == "timm" else [])]
    return [*lines, "import torch", "from PIL import Image, ImageOps"]


def _module(file: EncoderFile) -> str:
    if file.built_by == "nearfar":
        if file.architecture not in _OWN:
            raise RunError(
                f"encoder: architecture: want one of {', '.join(_OWN)}, got"
                f" {file.architecture!r}; update nearfar"
            )
        return _OWN[file.architecture]
    if file.built_by == "user":
        return (
            "# This encoder is a module of your own: build it first, as it was when nearfar"
            f" trained it.\nencoder = ...  # an instance of {file.architecture!a}\n"
        )
    create = {"num_classes": 0, **file.create}
    arguments = [ascii(file.architecture), *_keywords(create)]
    lines = [f"encoder = timm.create_model({', '.join(arguments)})"]
    return "\n".join([*lines, *(f"encoder.{_stem_edit(line)}" for line in file.stem)])


def _keywords(create: Mapping[str, Any]) -> list[str]:
    for key in create:
        if not key.isidentifier():
            raise RunError(f"encoder: create: want argument names, got {key!r}")
    return [f"{key}={value!a}" for key, value in create.items()]


def _stem_edit(line: str) -> str:
    """`line` in canonical form, if it assigns nn.Layer(literals) to a plain attribute path."""
    try:
        tree = ast.parse(line).body
    except (SyntaxError, ValueError):
        tree = []
    if len(tree) == 1 and isinstance(node := tree[0], ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
        if _is_attribute_path(target) and _is_layer(value):
            return f"{ast.unparse(target)} = {ast.unparse(value)}"
    raise RunError(f"encoder: stem: want lines such as 'conv1 = nn.Conv2d(3, 64, 3)', got {line!r}")


def _is_attribute_path(node: ast.expr) -> bool:
    """a, a.b or a[0].b"""
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and _is_attribute_path(node.value)
    return isinstance(node, ast.Name) or (
        isinstance(node, ast.Attribute) and _is_attribute_path(node.value)
    )


def _is_layer(node: ast.expr) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "nn"):
        return False
    return all(
        _is_literal(value) for value in [*node.args, *(keyword.value for keyword in node.keywords)]
    )


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _weights(path: PurePath) -> list[str]:
    return [f"encoder.load_state_dict(load_file({path.as_posix()!a}))", "encoder.eval()"]


def _transform(file: EncoderFile) -> list[str]:
    side, crop = file.input_size, "" if file.eval_crop == 1 else f"{file.eval_crop!r} * "
    width = file.width if file.width is not None else "width"
    resampling = file.interpolation.upper()
    return [
        "",
        "def to_input(image):",
        f'    """Of a PIL image what the encoder takes: (1, 3, {side}, {side})."""',
        '    image = ImageOps.exif_transpose(image).convert("RGB")',
        f"    side = max(1, round({crop}min(image.size)))",
        "    left, top = (image.width - side) // 2, (image.height - side) // 2",
        "    image = image.crop((left, top, left + side, top + side))",
        f"    image = image.resize(({side}, {side}), Image.Resampling.{resampling})",
        "    values = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255",
        f"    mean = torch.tensor({_triple(file.mean)}).view(3, 1, 1)",
        f"    std = torch.tensor({_triple(file.std)}).view(3, 1, 1)",
        "    return (values - mean) / std",
        "",
        "",
        f'# encoder(to_input(Image.open("photo.jpg"))) is what nearfar embeds it as: (1, {width})',
    ]


def _triple(values: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:.8g}" for value in values) + ")"
