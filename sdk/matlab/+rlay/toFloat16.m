function bits = toFloat16(values)
%TOFLOAT16 The 16 bits of the float16 that is nearest to each number, ties to even, as uint16.
  large = abs(values);
  [~, exponent] = log2(large);
  % Below 2^-14 all numbers have the same distance.
  exponent = max(exponent - 1, -14);
  steps = large ./ 2 .^ (exponent - 10);
  rounded = floor(steps);
  rest = steps - rounded;
  rounded = rounded + (rest > 0.5 | (rest == 0.5 & mod(rounded, 2) == 1));
  bits = (exponent + 14) * 1024 + rounded;
  bits(large >= 65520) = 31744;
  bits(isnan(values)) = 32256;
  isNegative = values < 0 | (values == 0 & 1 ./ values < 0);
  bits = uint16(bits + 32768 * isNegative);
end
