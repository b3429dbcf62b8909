function space = OneOf(spaces)
%ONEOF An element of one of several spaces: rlay.TupleValue({rlay.Scalar('int64', place), element}), places from 0.
  rlay.checkSpaces(spaces);
  space = rlay.Space('OneOf');
  space.spaces = spaces;
  if isempty(spaces)
    error('rlay:usage', 'a OneOf of no space');
  end
end
