function space = Discrete(n, start, name)
%DISCRETE The integers from start (0) to start + n - 1: rlay.Discrete(3). Elements are integers, of 'int64' or name.
  if nargin < 2
    start = 0;
  end
  if nargin < 3
    name = 'int64';
  end
  space = rlay.Space('Discrete');
  known = rlay.dtype(name);
  rlay.checkIntegers(n, 1, 'the n of a Discrete');
  rlay.checkIntegers(start, -2^63, 'the start of a Discrete');
  if ~isscalar(n) || ~isscalar(start) || ~known.isInteger || known.isBig
    error('rlay:usage', 'a Discrete takes one n and one start, of an integer dtype');
  end
  space.dtype = known.name;
  space.n = uint64(n);
  space.start = int64(start);
end
