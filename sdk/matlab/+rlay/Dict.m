function space = Dict(varargin)
%DICT Named spaces, in this order: rlay.Dict('board', rlay.MultiBinary(9), 'turn', rlay.Discrete(2)).
  space = rlay.Space('Dict');
  space.keys = varargin(1:2:end);
  space.spaces = varargin(2:2:end);
end
