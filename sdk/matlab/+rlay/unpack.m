function rows = unpack(reader, space, n)
%UNPACK The elements of n rows, a cell, from their packed form (section 7 of docs/wire.md).
  rows = cell(1, n);
  if space.hasArrays() && space.dtype(1) ~= '>'
    known = rlay.dtype(space.dtype);
    total = rlay.bytesOf(space.shape, known.size);
    for i = 1:n
      rows{i} = rlay.NdArray(space.dtype, space.shape, [], reader.elements(known, total));
    end
    reader.zeros(mod(-n * total, 8));
  elseif strcmp(space.kind, 'Discrete')
    known = rlay.dtype(space.dtype);
    numbers = zeros(1, n, 'int64');
    for i = 1:n
      numbers(i) = reader.i64();
    end
    for i = 1:n
      rows{i} = numbers(i);
      if ~reader.flag()
        continue
      end
      bytes = typecast(numbers(i), 'uint8');
      bytes = bytes(1:known.size);
      if known.size < 8 && double(typecast(bytes, known.className)) ~= double(numbers(i))
        error('rlay:protocol', '%s does not have this number', known.name);
      end
      rows{i} = rlay.Scalar(space.dtype, [], bytes);
    end
    reader.zeros(mod(-n, 8));
  elseif any(strcmp(space.kind, {'Tuple', 'Dict'}))
    members = cell(n, numel(space.spaces));
    for m = 1:numel(space.spaces)
      members(:, m) = rlay.unpack(reader, space.spaces{m}, n);
    end
    for i = 1:n
      if strcmp(space.kind, 'Tuple')
        rows{i} = rlay.TupleValue(members(i, :));
      else
        rows{i} = rlay.DictValue([reshape(space.keys, [], 1) reshape(members(i, :), [], 1)]);
      end
    end
  else
    error('rlay:protocol', 'a space that has no packed form');
  end
end
