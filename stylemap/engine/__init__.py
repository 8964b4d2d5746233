"""The network of `stylemap.program` on devices, with the caches that make editing fast.

An edit goes straight down:

    EditSession.edit                 session.py: images by number, references, one lock
    Renderer.frames                  renderer.py has the interface; those of cpu/ and gpu/ cache maps
    the maps of the edit             cpu/edits.py, gpu/rows.py: copied or convolved, as `program.ring` says
    program.synthesize_from_maps     the walk; on a CPU from the layer on where the last image differs
                                     (cpu/renderer.py), on a GPU as a captured graph (gpu/capture.py)
    the verbs                        cpu/lowering.py, gpu/plan.py
    kernels                          csrc/kernels

A *plan* (`CpuPlan`, `GpuPlan`) is a model's weights made ready for one device and precision; plans.py shares
one among all that run a model, and gives a `Model` that computes on it. images.py has what a session keeps.
"""
