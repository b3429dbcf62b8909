classdef Scalar
%SCALAR A NumPy scalar: rlay.Scalar('float32', 1.5).
  properties
    dtype
    data % the element's bytes
  end
  methods
    function self = Scalar(dtype, number, bytes)
      if nargin < 3
        bytes = rlay.toBytes(rlay.dtype(dtype), number);
      end
      self.dtype = rlay.chars(dtype);
      self.data = bytes;
    end
    function number = value(self)
      %VALUE The number, or the logical.
      number = rlay.fromBytes(rlay.dtype(self.dtype), self.data);
    end
  end
end
