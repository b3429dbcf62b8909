classdef NdArray
%NDARRAY A NumPy array in C order: rlay.NdArray('uint8', [8 8], numbers).
%   numbers are flat and in C order (the last index runs fastest), or left out for zeros.
%   rlay.NdArray(dtype, shape, [], bytes) takes raw little-endian elements. rlay.array makes one of a matrix.
  properties
    dtype
    shape
    data % the elements' bytes, a row of uint8
  end
  methods
    function self = NdArray(dtype, shape, numbers, bytes)
      known = rlay.dtype(dtype);
      if nargin < 4
        rlay.checkIntegers(shape, 0, 'the shape of an array');
      end
      total = rlay.bytesOf(shape, known.size);
      if nargin < 3
        bytes = zeros(1, total, 'uint8');
      elseif nargin < 4
        bytes = rlay.toBytes(known, numbers);
      end
      if numel(bytes) ~= total
        n = floor(numel(bytes) / known.size);
        error('rlay:usage', '%d elements for an array of shape [%s]', n, num2str(double(shape)));
      end
      self.dtype = known.name;
      self.shape = uint64(shape(:).');
      self.data = bytes;
    end
    function values = numbers(self)
      %NUMBERS All elements in a row, in C order.
      values = rlay.fromBytes(rlay.dtype(self.dtype), self.data);
    end
    function values = matrix(self)
      %MATRIX The elements as a matrix of this shape; an array of one dimension becomes a column.
      values = self.numbers();
      sizes = double(self.shape);
      if numel(sizes) == 1
        values = values(:);
      elseif numel(sizes) > 1
        values = permute(reshape(values, fliplr(sizes)), numel(sizes):-1:1);
      end
    end
  end
end
