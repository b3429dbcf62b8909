function x = plain(x)
%PLAIN A value as MATLAB's own types: numbers as double where they are exact, arrays as matrices, dicts as structs.
%   A dict with a key that no field can have stays rlay.DictValue. Tuples and lists become cells.
  switch class(x)
    case 'int64'
      if abs(double(x)) <= 2^53
        x = double(x);
      end
    case 'rlay.Scalar'
      x = x.value();
      if ~islogical(x) && (isfloat(x) || abs(double(x)) <= 2^53)
        x = double(x);
      end
    case 'rlay.NdArray'
      x = x.matrix();
    case 'rlay.TupleValue'
      x = cellfun(@rlay.plain, x.items, 'UniformOutput', false);
    case 'cell'
      x = cellfun(@rlay.plain, x, 'UniformOutput', false);
    case 'rlay.DictValue'
      keys = x.pairs(:, 1);
      values = cellfun(@rlay.plain, x.pairs(:, 2), 'UniformOutput', false);
      if all(cellfun(@(key) ischar(key) && isvarname(key), keys))
        x = struct();
        for i = 1:numel(keys)
          x.(keys{i}) = values{i};
        end
      else
        x.pairs(:, 2) = values;
      end
  end
end
