classdef Bytes
%BYTES Python's bytes: rlay.Bytes(uint8([0 1])).
  properties
    bytes
  end
  methods
    function self = Bytes(bytes)
      self.bytes = bytes;
    end
  end
end
