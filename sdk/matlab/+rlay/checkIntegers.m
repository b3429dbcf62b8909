function checkIntegers(x, least, what)
%CHECKINTEGERS Refuses what is no matrix of integers from least on.
  isFine = isnumeric(x) && isreal(x) && all(x(:) == fix(x(:)) & x(:) >= least & ~isinf(x(:)));
  % Doubles from 2^64 on would be taken for 2^64 - 1.
  if ~isFine || (isfloat(x) && any(x(:) >= 2^64))
    error('rlay:usage', '%s: integers of at least %.0f are needed', what, least);
  end
end
