function bytes = bytesOf(shape, elementSize)
%BYTESOF How many bytes an array takes, as a double. Refuses more than 2^63-1, zeros aside (section 5 of docs/wire.md).
  shape = uint64(shape);
  if numel(shape) > 64
    error('rlay:protocol', 'a shape of too many dimensions');
  end
  bytes = elementSize * prod(double(shape));
  if bytes > 0 && bytes < 2^53
    return
  end
  % Beyond that, and where a 0 hides the rest, doubles are not exact.
  product = uint64(elementSize);
  for n = shape(shape > 0)
    if product > idivide(uint64(intmax('int64')), n)
      error('rlay:protocol', 'a shape of too many elements');
    end
    product = product * n;
  end
  bytes = double(product) * all(shape > 0);
end
