"""What a cubin says of its kernels besides their code: an ELF file with sections of NVIDIA's own."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from elftools.elf.elffile import ELFFile

# Attributes of .nv.info: an attribute of format SIZED carries its length, the others two bytes.
_SIZED = 0x04
_PARAMETER, _PARAMETER_BANK, _REGISTERS = 0x17, 0x0A, 0x2F
_LARGE_PARAMETER = 0x45  # in place of _PARAMETER where a kernel has more than 4 KiB of them
_BANKS = range(1, 6)


@dataclass
class Info:
    base: int = 0  # of the parameters in constant bank 0
    bytes: int = 0
    parameters: list[tuple[int, int]] = field(default_factory=list)  # offset and bytes of each


class Cubin:
    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            elf = ELFFile(file)
            sections = list(elf.iter_sections())
            self._data = {s.name: s.data() for s in sections if s["sh_type"] != "SHT_NOBITS"}
            self._sizes = {s.name: s["sh_size"] for s in sections}
            table = list(elf.get_section_by_name(".symtab").iter_symbols())
        self.symbols = {symbol.name: symbol["st_value"] for symbol in table if symbol.name}
        self.registers = {
            table[index].name: count
            for attribute, body in _attributes(self._data[".nv.info"])
            if attribute == _REGISTERS
            for index, count in [struct.unpack_from("<II", body)]
        }

    def code(self, kernel: str) -> bytes:
        return self._data[f".text.{kernel}"]

    def shared_bytes(self, kernel: str) -> int:
        return int(self._sizes.get(f".nv.shared.{kernel}", 0))

    def constants(self, kernel: str) -> dict[int, bytes]:
        """Bank -> its contents, of the banks that the compiler filled."""
        found = {}
        for name, data in self._data.items():
            match = re.match(r"^\.nv\.constant(\d)(\..*)?$", name)
            if match and int(match[1]) in _BANKS and match[2] in (None, f".{kernel}"):
                found[int(match[1])] = data
        return found

    def info(self, kernel: str) -> Info:
        info, order = Info(), []
        for attribute, body in _attributes(self._data[f".nv.info.{kernel}"]):
            if attribute == _PARAMETER:
                _, ordinal, offset, flags = struct.unpack_from("<IHHI", body)
                order.append((ordinal, offset, flags >> 18 & 0x3FFF))
            elif attribute == _LARGE_PARAMETER:
                _, ordinal, offset, size = struct.unpack_from("<IHHI", body)
                order.append((ordinal, offset, size))
            elif attribute == _PARAMETER_BANK:
                _, info.base, info.bytes = struct.unpack_from("<IHH", body)
        info.parameters = [(offset, size) for _, offset, size in sorted(order)]
        end = max((offset + size for offset, size in info.parameters), default=0)
        if end != info.bytes:  # the kernel would run on parameters of zeros
            raise ValueError(f"{kernel}: described parameters end at byte {end}, all at {info.bytes}")
        return info


def _attributes(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at + 4 <= len(data):
        kind, attribute, value = struct.unpack_from("<BBH", data, at)
        at += 4
        if kind == _SIZED:
            found.append((attribute, data[at : at + value]))
            at += value
    return found
