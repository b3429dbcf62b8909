classdef Space
%SPACE A space of observations or actions, made by rlay.Box, rlay.Discrete, rlay.MultiBinary, rlay.MultiDiscrete,
%   rlay.Text, rlay.Tuple, rlay.Dict, rlay.Sequence, rlay.Graph and rlay.OneOf. A kind uses the fields that it needs.
  properties
    kind
    dtype = '' % of elements
    shape = [] % of arrays, uint64
    low % bounds of a Box: struct of isUniform, values (bytes) and bounded (bytes)
    high
    n % of a Discrete, uint64
    start % int64
    nvec % int64
    isInt % of a MultiBinary
    minLength % of texts, uint64
    maxLength
    charset
    spaces = {} % members
    keys = {} % of a Dict
    stack % of a Sequence
    edge = [] % of a Graph, whose space of nodes is the one member
  end
  methods
    function self = Space(kind)
      self.kind = kind;
    end
    function yes = hasArrays(self)
      %HASARRAYS Whether elements are arrays of the space's dtype and shape.
      yes = any(strcmp(self.kind, {'Box', 'MultiBinary', 'MultiDiscrete'}));
    end
  end
end
