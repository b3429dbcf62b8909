classdef BigInt
%BIGINT An int beyond 64 bits: bytes is its two's complement, little-endian, in as few bytes as hold it.
  properties
    bytes
  end
  methods
    function self = BigInt(bytes)
      self.bytes = bytes;
    end
  end
end
