function values = fromBytes(known, bytes)
%FROMBYTES The elements of a dtype in a row of bytes, as logical, integers, single or double (float16 as double).
  if isempty(bytes)
    values = zeros(1, 0, known.className);
  else
    values = typecast(bytes, known.className);
  end
  if strcmp(known.base, 'bool')
    values = values ~= 0;
  elseif strcmp(known.base, 'float16')
    bits = double(values);
    exponent = mod(floor(bits / 1024), 32);
    fraction = mod(bits, 1024);
    values = (1 + fraction / 1024) .* 2 .^ (exponent - 15);
    values(exponent == 0) = fraction(exponent == 0) * 2^-24;
    values(exponent == 31) = Inf;
    values(exponent == 31 & fraction > 0) = NaN;
    values(bits >= 32768) = -values(bits >= 32768);
  end
end
