function made = array(values, name)
%ARRAY The NdArray of a matrix. A row and a column have one dimension; name is a dtype, that of the matrix unless given.
  if nargin < 2
    name = strrep(strrep(strrep(class(values), 'logical', 'bool'), 'single', 'float32'), 'double', 'float64');
  end
  if isvector(values) || isempty(values) && ndims(values) == 2 && any(size(values) == 1)
    shape = numel(values);
  else
    shape = size(values);
    values = permute(values, ndims(values):-1:1);
  end
  made = rlay.NdArray(name, shape, values(:).');
end
