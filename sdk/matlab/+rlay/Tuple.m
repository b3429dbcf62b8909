function space = Tuple(spaces)
%TUPLE One element of each of several spaces: rlay.Tuple({rlay.Discrete(3), rlay.Text(4)}).
%   Elements are rlay.TupleValue.
  rlay.checkSpaces(spaces);
  space = rlay.Space('Tuple');
  space.spaces = spaces;
end
