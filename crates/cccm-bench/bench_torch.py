"""The work of `cccm-bench` in PyTorch, for side-by-side figures: `cargo xtask bench --against-torch PYTHON`.

The networks are the ones of the test fixtures, tests/fixtures/oracle.py; needs torch, numpy and safetensors.

python bench_torch.py --size S --work step --batch 16 --mode eager [--device cuda] [--threads 2] [--rounds 5]
Prints one JSON line: seconds per call (median, min, max), peak memory, torch version.
  size  S     ch 32,  mult 1-2-2,   1 block,  32x32     L64, L128, celeba = ch 128, mult 1-2-4-4, 2 blocks, 64 or 128
  work  forward (student, no gradient) | sample1, sample2, sample4 (few-step sampler, 1 evaluation per step)
        | ddim50 (guided teacher, 100 evaluations) | backward (student forward + backward)
        | step (whole distillation step, LossFuse c_t 0.5, AdamW, clip, EMA)
  mode  eager | channels_last | compile | bf16 | bf16_channels_last | bf16_compile | bf16_channels_last_compile
"""
import argparse
import contextlib
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "fixtures"))
import oracle

SIZES = {"S": (32, [1, 2, 2], 1, 32, 32), "L64": (128, [1, 2, 4, 4], 2, 64, 128),
         "L128": (128, [1, 2, 4, 4], 2, 128, 128), "celeba": (128, [1, 2, 4, 4], 2, 128, 128)}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--size", choices=SIZES, default="S")
    a.add_argument("--work", choices=["forward", "sample1", "sample2", "sample4", "ddim50", "backward", "step"], default="step")
    a.add_argument("--mode", default="eager")
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--device", default="cpu")
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--rounds", type=int, default=5)
    a = a.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    if a.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    ch, mult, blocks, size, w_dim = SIZES[a.size]
    fmt = torch.channels_last if "channels_last" in a.mode else torch.contiguous_format
    oracle.ALPHA_BAR = oracle.ALPHA_BAR.to(a.device)
    make = lambda w=None: oracle.UNetIC(4, 2, ch, mult, blocks, w).to(a.device, memory_format=fmt)
    teacher, student, target = make(), make(w_dim), make(w_dim)
    nets = [torch.compile(m) if "compile" in a.mode else m for m in (student, target, teacher)]
    for m in nets[1:]:
        m.requires_grad_(False)
    dev = dict(device=a.device)
    image = lambda: torch.randn(a.batch, 3, size, size, **dev).contiguous(memory_format=fmt)
    b = dict(x=image().clamp(-1, 1), eps=image(), atr=torch.randint(4, (a.batch,), **dev), obj=torch.randint(2, (a.batch,), **dev),
             index=torch.randint(50, (a.batch,), **dev), w=torch.full((a.batch,), 1.8, **dev))
    t = torch.randint(1000, (a.batch,), **dev)
    x_t, w_emb = image(), oracle.guidance_embedding(b["w"].cpu(), w_dim).to(a.device)
    cast = lambda: torch.autocast(a.device, torch.bfloat16) if "bf16" in a.mode else contextlib.nullcontext()
    opt = torch.optim.AdamW(student.parameters(), lr=5e-6, weight_decay=0.0, fused=a.device == "cuda")
    gemb, grid = oracle.guidance_embedding, oracle.ddim_grid
    oracle.guidance_embedding = lambda w, d: gemb(w.cpu(), d).to(a.device)
    oracle.ddim_grid = lambda k: tuple(v.to(a.device) for v in grid(k))
    if a.work == "step":  # compiled modules hide their attributes' shapes; read the width from the plain one
        for m in nets[:2]:
            m.time_embedding = student.time_embedding

    def step():
        with cast():
            loss, _ = oracle.distill_loss(nets[0], nets[1], nets[2], b, "lossfuse", 0.5)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(list(target.parameters()), list(student.parameters()), 0.05)

    def backward():
        with cast():
            loss = nets[0](x_t, t, b["atr"], b["obj"], w_emb).float().square().mean()
        loss.backward()
        opt.zero_grad(set_to_none=True)

    def quiet(f):
        def run():
            with torch.no_grad(), cast():
                f()
        return run

    def sample(steps):  # the first image is x_t; every step but the last draws noise
        noises = [image() for _ in range(steps - 1)]
        return quiet(lambda: oracle.sample_lcm(nets[0], x_t, b["atr"], b["obj"], 2.8, noises))

    work = {"step": step, "backward": backward, "forward": quiet(lambda: nets[0](x_t, t, b["atr"], b["obj"], w_emb)),
            "sample1": sample(1), "sample2": sample(2), "sample4": sample(4),
            "ddim50": quiet(lambda: oracle.sample_ddim(nets[2], x_t, b["atr"], b["obj"], 1.8, 50))}[a.work]
    sync = torch.cuda.synchronize if a.device == "cuda" else lambda: None
    for _ in range(3):
        work()
    times = []
    for _ in range(a.rounds):
        sync()
        start = time.perf_counter()
        work()
        sync()
        times.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() if a.device == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(dict(size=a.size, work=a.work, mode=a.mode, batch=a.batch, device=a.device, threads=torch.get_num_threads(),
                          median_s=statistics.median(times), min_s=min(times), max_s=max(times), peak_bytes=peak, torch=torch.__version__)))


if __name__ == "__main__":
    main()
