function space = Sequence(member, stack)
%SEQUENCE Any number of elements of one space; with stack (false) as their batch.
  rlay.checkSpaces({member});
  space = rlay.Space('Sequence');
  space.spaces = {member};
  space.stack = nargin > 1 && stack;
end
