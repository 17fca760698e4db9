"""Networks of many families for the conversion matrix, one module a family, each with its ``NETWORKS``.

They are ordinary training code: what they do is what people write, with sizes read at run time, in-place additions,
methods of tensors and functions side by side. Runs inside the mgeconvert toolchain.
"""
