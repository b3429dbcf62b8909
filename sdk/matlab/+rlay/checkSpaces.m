function checkSpaces(spaces)
%CHECKSPACES Refuses what is no cell of spaces.
  if ~iscell(spaces) || ~all(cellfun(@(space) isa(space, 'rlay.Space'), spaces(:)))
    error('rlay:usage', 'spaces are needed, such as rlay.Discrete(2); several of them in a cell');
  end
end
