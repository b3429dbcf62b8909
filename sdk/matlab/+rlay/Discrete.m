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
  if n < 1 || ~known.isInteger || known.isBig
    error('rlay:usage', 'a Discrete space of no integers');
  end
  space.dtype = name;
  space.n = uint64(n);
  space.start = int64(start);
end
