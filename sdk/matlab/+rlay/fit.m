function x = fit(space, x)
%FIT An observation as its space has it: matrices become arrays of its dtype and shape, cells tuples, structs dicts.
  switch space.kind
    case {'Box', 'MultiBinary', 'MultiDiscrete'}
      if ~isnumeric(x) && ~islogical(x)
        return
      end
      shape = double(space.shape);
      if numel(shape) > 1 && ~isvector(x)
        if ~isequal(size(x), shape) && ~isequal(size(x), withoutOnes(shape))
          error('rlay:usage', 'an observation of size [%s], where the space has [%s]', ...
            num2str(size(x)), num2str(shape));
        end
        x = permute(x, numel(shape):-1:1);
      end
      x = rlay.NdArray(space.dtype, space.shape, x(:).');
    case 'Discrete'
      if isa(x, 'double') && isscalar(x) && x == fix(x)
        x = int64(x);
      end
    case 'Tuple'
      if iscell(x) && numel(x) == numel(space.spaces)
        members = reshape(space.spaces, 1, []);
        x = rlay.TupleValue(cellfun(@rlay.fit, members, reshape(x, 1, []), 'UniformOutput', false));
      end
    case 'Dict'
      if isstruct(x) && isscalar(x) && all(cellfun(@ischar, space.keys)) && all(isfield(x, space.keys))
        pairs = cell(numel(space.keys), 2);
        for i = 1:numel(space.keys)
          pairs(i, :) = {space.keys{i}, rlay.fit(space.spaces{i}, x.(space.keys{i}))};
        end
        x = rlay.DictValue(pairs);
      end
  end
end

function sizes = withoutOnes(sizes)
  % MATLAB drops dimensions of 1 at the end.
  while numel(sizes) > 2 && sizes(end) == 1
    sizes(end) = [];
  end
end
