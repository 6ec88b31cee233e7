"""Selection of hierarchical features: how much of each stage goes to the head, for each image."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from .layers import maps, tokens


class StageSelection(nn.Module):
    """Mix the fusions of all stages into one map for the head, with weights that sum to 1.

    Each fusion F_i is brought to the grid and the width of the last and normalised, so that a weight says how
    much of a stage there is; the last has nothing to be brought to:

        A_i = LN_i(Linear_i(AvgPool(F_i))), A_n = LN_n(F_n)
        w = softmax(b + V [mean(A_1), ..., mean(A_n)] / sqrt(n dims[n]))
        Z = w_1 A_1 + ... + w_n A_n

    with the means over the places of the map. Weights from a softmax over pooled features are those of
    Selective Kernel Networks (Li et al. 2019, arXiv:1903.06586), here one a stage and not one a channel; the
    gate V is a single linear layer that begins at zero, as in Shazeer et al. 2017 (arXiv:1701.06538), and so
    does b: at first all stages weigh the same in every image. The root of the gate's width divides as it does
    in attention (Vaswani et al. 2017, arXiv:1706.03762); without it a step of Adam, which moves all of a
    row's weights at once, changes the logits so much that one stage takes all before the others have learnt.
    Without the gate the weights are learnt, but are the same for all images, as in ELMo's mix of layers
    (Peters et al. 2018, arXiv:1802.05365).

    Args:
        dims: channels of the stages' fusions; the maps of each are half as high and wide as those before.
        dynamic: weigh every image by itself, by the gate V.
    """

    def __init__(self, dims: Sequence[int], dynamic: bool = True):
        super().__init__()
        self.factors = [2**steps for steps in reversed(range(len(dims)))]
        self.projections = nn.ModuleList(
            [*(nn.Linear(dim, dims[-1]) for dim in dims[:-1]), nn.Identity()]  # the last is as it should be
        )
        self.norms = nn.ModuleList(LayerNorm2d(dims[-1]) for _ in dims)
        self.prior = nn.Parameter(torch.zeros(len(dims)))
        self.scale = (len(dims) * dims[-1]) ** -0.5
        self.gate = nn.Linear(len(dims) * dims[-1], len(dims), bias=False) if dynamic else None
        if self.gate is not None:
            nn.init.zeros_(self.gate.weight)

    def forward(self, fusions: list[Tensor]) -> Tensor:
        """Mix n maps (B, dims[i], H 2^(n-1-i), W 2^(n-1-i)) into one (B, dims[-1], H, W)."""
        aligned = self.align(fusions)
        return self.mix(aligned, self.weigh(aligned))

    def align(self, fusions: list[Tensor]) -> list[Tensor]:
        """Bring the stages' fusions to the last one's shape: each (B, dims[-1], H, W)."""
        aligned: list[Tensor] = []
        parts = zip(self.projections, self.norms)  # noqa: B905  TorchScript has no strict
        for stage, (projection, norm) in enumerate(parts):
            pooled = F.avg_pool2d(fusions[stage], self.factors[stage])
            aligned.append(norm(maps(projection(tokens(pooled)))))
        return aligned

    def weigh(self, aligned: list[Tensor]) -> Tensor:
        """Weigh the aligned fusions of each image: (B, n), every row with the sum 1."""
        if self.gate is None:
            return self.prior.softmax(0).expand(aligned[0].shape[0], -1)
        means = torch.cat([one.mean((2, 3)) for one in aligned], dim=1)
        return (self.prior + self.gate(means) * self.scale).softmax(1)

    def mix(self, aligned: list[Tensor], weights: Tensor) -> Tensor:
        """Add up the aligned fusions by their weights (B, n)."""
        columns = weights[:, :, None, None, None].unbind(1)
        mixed = aligned[0] * columns[0]
        for stage in range(1, len(aligned)):
            mixed = mixed + aligned[stage] * columns[stage]
        return mixed
