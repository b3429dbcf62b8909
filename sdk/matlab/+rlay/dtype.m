function known = dtype(which)
%DTYPE What is known of a dtype (section 4 of docs/wire.md), by its name or its code.
%   ">float32" is the big-endian form of "float32"; elements are little-endian all the same.
  persistent names sizes classes
  if isempty(names)
    names = {'bool', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64', ...
      'float16', 'float32', 'float64'};
    sizes = [1 1 2 4 8 1 2 4 8 2 4 8];
    % What an element is typecast to. A float16 has no class here, only its bits.
    classes = [{'uint8'} names(2:9) {'uint16', 'single', 'double'}];
  end
  if isa(which, 'string')
    which = char(which);
  end
  isBig = false;
  if ischar(which)
    isBig = ~isempty(which) && which(1) == '>';
    code = find(strcmp(which(1 + isBig:end), names)) - 1;
  else
    code = double(which);
    isBig = code >= 256;
    code = code - 256 * isBig;
  end
  if isempty(code) || code > 11 || (isBig && sizes(code + 1) == 1)
    error('rlay:protocol', 'unknown dtype; it is one of bool, int8 to uint64, float16 to float64');
  end
  base = names{code + 1};
  name = base;
  if isBig
    name = ['>' base];
  end
  known = struct('name', name, 'base', base, 'code', code + 256 * isBig, 'size', sizes(code + 1), ...
    'className', classes{code + 1}, 'isBig', isBig, 'isInteger', code >= 1 && code <= 8);
end
