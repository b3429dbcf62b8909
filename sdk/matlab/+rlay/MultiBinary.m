function space = MultiBinary(n, isShape)
%MULTIBINARY Arrays of 0 and 1: rlay.MultiBinary(4), rlay.MultiBinary([2 3]).
%   rlay.MultiBinary(4, true) is MultiBinary([4]) in Python.
  space = rlay.Space('MultiBinary');
  space.dtype = 'int8';
  rlay.checkIntegers(n, 0, 'the shape of a MultiBinary');
  space.shape = uint64(n(:).');
  space.isInt = isscalar(n) && nargin < 2;
  if rlay.bytesOf(space.shape, 1) > 2^40
    error('rlay:usage', 'a space of more than 2^40 bytes');
  end
end
