function bytes = toBytes(known, values)
%TOBYTES The little-endian bytes of numbers as elements of a dtype. Refuses numbers that an integer dtype does not have.
  if ~isnumeric(values) && ~islogical(values)
    error('rlay:usage', 'elements of an array that are no numbers');
  end
  values = values(:).';
  switch known.base
    case 'bool'
      bytes = uint8(values ~= 0);
    case 'float16'
      bytes = typecast(rlay.toFloat16(double(values)), 'uint8');
    otherwise
      made = cast(values, known.className);
      isExact = ~known.isInteger || all(made == values | isempty(values));
      if isExact && known.isInteger && isfloat(values)
        % A double that was rounded to the limit of a dtype compares equal.
        isExact = all(values >= -2^63 & values < 2^64) && all(double(made) == double(values));
        isExact = isExact && (~strcmp(known.base, 'int64') || all(values < 2^63));
      end
      if ~isExact
        error('rlay:usage', 'numbers that %s cannot hold', known.name);
      end
      bytes = typecast(made, 'uint8');
      if isempty(values)
        bytes = zeros(1, 0, 'uint8');
      end
  end
end
