function [ok, bytes] = pack(space, rows)
%PACK The packed form of all rows, a cell (section 7 of docs/wire.md); ok is false for rows that have none.
  ok = false;
  bytes = zeros(1, 0, 'uint8');
  switch space.kind
    case {'Box', 'MultiBinary', 'MultiDiscrete'}
      parts = cell(1, numel(rows));
      for i = 1:numel(rows)
        row = rows{i};
        isArray = isa(row, 'rlay.NdArray') && space.dtype(1) ~= '>';
        if ~isArray || ~strcmp(row.dtype, space.dtype) || ~sameShape(row.shape, space.shape)
          return
        end
        parts{i} = row.data;
      end
      bytes = padded([bytes parts{:}]);
    case 'Discrete'
      numbers = zeros(1, numel(rows), 'int64');
      marks = zeros(1, numel(rows), 'uint8');
      for i = 1:numel(rows)
        row = rows{i};
        if isa(row, 'int64') && isscalar(row)
          numbers(i) = row;
        elseif isa(row, 'rlay.Scalar') && strcmp(row.dtype, space.dtype)
          marks(i) = 1;
          number = row.value();
          if isa(number, 'uint64')
            number = typecast(number, 'int64');
          end
          numbers(i) = number;
        else
          return
        end
      end
      if ~isempty(rows)
        bytes = [typecast(numbers, 'uint8') padded(marks)];
      end
    case {'Tuple', 'Dict'}
      members = cell(numel(rows), numel(space.spaces));
      for i = 1:numel(rows)
        found = membersOf(space, rows{i});
        if numel(found) ~= numel(space.spaces) || ~iscell(found)
          return
        end
        members(i, :) = found;
      end
      for n = 1:numel(space.spaces)
        [fits, packed] = rlay.pack(space.spaces{n}, members(:, n).');
        if ~fits
          return
        end
        bytes = [bytes packed]; %#ok<AGROW>
      end
    otherwise
      return
  end
  ok = true;
end

function found = membersOf(space, row)
  found = [];
  if strcmp(space.kind, 'Tuple') && isa(row, 'rlay.TupleValue')
    found = reshape(row.items, 1, []);
    return
  elseif strcmp(space.kind, 'Tuple')
    return
  elseif isa(row, 'rlay.DictValue')
    keys = row.pairs(:, 1).';
    values = row.pairs(:, 2).';
  elseif isstruct(row) && isscalar(row)
    keys = fieldnames(row).';
    values = struct2cell(row).';
  else
    return
  end
  if numel(keys) ~= numel(space.keys)
    return
  elseif iscellstr(keys) && iscellstr(space.keys)
    same = strcmp(keys, space.keys);
  else
    same = cellfun(@(a, b) strcmp(class(a), class(b)) && isequal(a, b), keys, space.keys);
  end
  if all(same)
    found = values;
  end
end

function same = sameShape(a, b)
  % isequal takes an empty row and an empty matrix for two things.
  same = numel(a) == numel(b) && all(a == b);
end

function bytes = padded(bytes)
  bytes = [bytes zeros(1, mod(-numel(bytes), 8), 'uint8')];
end
