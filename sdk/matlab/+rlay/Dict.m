function space = Dict(varargin)
%DICT Named spaces, in this order: rlay.Dict('board', rlay.MultiBinary(9), 'turn', rlay.Discrete(2)).
  if mod(nargin, 2) ~= 0
    error('rlay:usage', 'a Dict takes a space behind each key');
  end
  rlay.checkSpaces(varargin(2:2:end));
  keys = rlay.chars(varargin(1:2:end));
  names = keys(cellfun(@ischar, keys));
  if numel(unique(names)) < numel(names)
    error('rlay:usage', 'a key of a Dict that is there twice');
  end
  space = rlay.Space('Dict');
  space.keys = keys;
  space.spaces = varargin(2:2:end);
end
