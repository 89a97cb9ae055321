"""A hint to the processor: on a large grid nearly every region touched is a cache miss, and they can overlap."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

_READ, _KEEP, _DATA = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))


@intrinsic
def prefetch(context: Any, array: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
    """Ask for the cache line at `array[index]` (along the first axis); any index is safe, nothing is read."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, args[0])
        word, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
        stride = builder.extract_value(view.strides, 0)
        offset = builder.mul(context.cast(builder, args[1], signature.args[1], types.int64), stride)
        address = builder.inttoptr(builder.add(builder.ptrtoint(view.data, word), offset), pointer)
        signs = ir.FunctionType(ir.VoidType(), [pointer, *([ir.IntType(32)] * 3)])
        hint = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), signs)
        builder.call(hint, [address, _READ, _KEEP, _DATA])
        return context.get_dummy_value()

    return types.void(array, index), codegen
