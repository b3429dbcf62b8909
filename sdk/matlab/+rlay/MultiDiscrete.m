function space = MultiDiscrete(nvec, start, name, shape)
%MULTIDISCRETE Arrays of integers, each with its own count and start (0): rlay.MultiDiscrete([3 5]), of 'int64' or name.
%   With a shape, counts and starts are flat and in C order.
  if nargin < 2
    start = zeros(size(nvec));
  end
  if nargin < 3
    name = 'int64';
  end
  space = rlay.Space('MultiDiscrete');
  known = rlay.dtype(name);
  rlay.checkIntegers(nvec, 1, 'the counts of a MultiDiscrete');
  rlay.checkIntegers(start, -2^63, 'the starts of a MultiDiscrete');
  if nargin < 4
    counts = rlay.array(int64(nvec));
    shape = counts.shape;
    nvec = counts.numbers();
    counts = rlay.array(int64(start));
    start = counts.numbers();
  end
  space.dtype = known.name;
  space.shape = uint64(shape(:).');
  space.nvec = int64(nvec(:).');
  space.start = int64(start(:).');
  n = rlay.bytesOf(space.shape, 8) / 8;
  if n > 2^37 || numel(nvec) ~= n || numel(start) ~= n || ~known.isInteger
    error('rlay:usage', 'a MultiDiscrete space of no integers, or whose counts or starts do not fit its shape');
  end
end
